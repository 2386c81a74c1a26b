//! Visitors, and nothing but visitors.

use std::{sync::atomic::Ordering, thread, time::Duration};

use anyhow::Result;

use super::{
    super::{
        http::{Client, Visitors},
        sandbox::{Namespace, Sandbox},
    },
    Run,
};

/// Many visitors at once.
pub struct Crowd {
    namespace: Namespace,
}

impl Crowd {
    /// In the client's namespace.
    pub fn new(sandbox: &Sandbox) -> Self {
        Self {
            namespace: sandbox.client().clone(),
        }
    }

    /// Visits until it is over.
    pub fn run(self, run: &Run) -> Result<()> {
        let client = Client::with(&self.namespace, Visitors::crowd(), run.options.cpu)?;
        while !run.is_over() {
            thread::sleep(Duration::from_millis(20));
            let heard = client.take();
            run.sent
                .fetch_add(heard.answered + heard.failed, Ordering::Relaxed);
        }
        Ok(())
    }
}
