//! What a guest tells its host, one line of JSON each.

use serde::{Deserialize, Serialize};

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Message {
    /// The guest runs.
    Up {
        /// The kernel's release.
        release: String,
    },
    /// A feature that this kernel has no means for.
    LeftOut {
        /// Its name in `status`.
        feature: String,
        /// The sentence in `status`.
        reason: String,
    },
    /// What the verifier spent on a program.
    Effort(Effort),
    /// A program was refused.
    Refused {
        /// Its name.
        program: String,
        /// What the verifier said last.
        words: String,
    },
    /// How the daemon sits on an interface.
    Attached {
        /// What interface.
        driver: String,
        /// How it should.
        wanted: String,
        /// How it does, or why not.
        found: String,
    },
    /// A line of the tests' output.
    Said {
        /// The line.
        line: String,
    },
    /// What became of the tests.
    Tests {
        /// Those that passed.
        passed: u64,
        /// How many are about what is left out.
        left_out: u64,
        /// Names of those that failed.
        failed: Vec<String>,
        /// How long they took.
        seconds: u64,
    },
    /// Something that the guest could not do.
    Trouble {
        /// A sentence.
        text: String,
    },
    /// All was done.
    Done,
}

/// What the verifier spent on a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// The program's name.
    pub program: String,
    /// Instructions walked.
    pub instructions: u64,
    /// Microseconds.
    pub micros: u64,
    /// Bytes of stack of the greediest function.
    pub stack: u64,
}
