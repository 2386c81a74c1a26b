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
    /// What became of a trial of the installed package.
    Row(Row),
    /// The host is to do something to the machine.
    Wish(Wish),
    /// Something that the guest could not do.
    Trouble {
        /// A sentence.
        text: String,
    },
    /// All was done.
    Done,
}

/// A row of the table of `vm --install`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What was done.
    pub what: String,
    /// What has to come of it.
    pub wanted: String,
    /// What came of it.
    pub found: String,
    /// Whether that is as it has to be.
    pub is_good: bool,
}

/// What only the host can do to a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// The card's cable is pulled, or back.
    Carrier {
        /// Whether it is back.
        is_on: bool,
    },
    /// The card is taken out.
    Unplug,
    /// The card is put in again.
    Plug,
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
