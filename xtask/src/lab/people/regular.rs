//! Somebody who does the same thing again and again, at a steady pace.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::super::{
    clock,
    heard::{Heard, Notebook},
    sandbox::Namespace,
    thread::pin_to,
};

/// What is done each time; the number tells the times apart. An error is a failure.
pub type Probe = Box<dyn FnMut(u32) -> Result<()> + Send>;

/// A thread that does it.
#[derive(Debug)]
pub struct Regular {
    stop: Arc<AtomicBool>,
    heard: Arc<Notebook>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Regular {
    /// Starts it in a namespace.
    pub fn start(
        name: &str,
        namespace: &Namespace,
        cpu: Option<usize>,
        interval: Duration,
        mut probe: Probe,
    ) -> Result<Self> {
        Self::spawn(name, namespace, cpu, move |stop, heard| {
            let mut due = clock::now();
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let begun = clock::now();
                let answered = probe(number).is_ok();
                heard.note(answered, begun.elapsed());
                // Who was kept waiting does not come twice.
                due = (due + interval).max(clock::now());
                thread::sleep(due.saturating_duration_since(clock::now()));
            }
            Ok(())
        })
    }

    /// Starts something that notes by itself, until it is told to stop.
    pub fn spawn(
        name: &str,
        namespace: &Namespace,
        cpu: Option<usize>,
        work: impl FnOnce(&AtomicBool, &Notebook) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let (stop, heard) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let thread = {
            let (stop, heard) = (Arc::clone(&stop), Arc::clone(&heard));
            let namespace = namespace.clone();
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || {
                    namespace.enter()?;
                    if let Some(cpu) = cpu {
                        pin_to(cpu)?;
                    }
                    work(&stop, &heard)
                })
                .with_context(|| format!("cannot start the thread of {name}"))?
        };
        Ok(Self {
            stop,
            heard,
            thread: Some(thread),
        })
    }

    /// What was noticed since the last call.
    pub fn take(&self) -> Heard {
        self.heard.take()
    }

    /// Tells it to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Ends it and says what was noticed since [`Self::take`].
    pub fn finish(mut self) -> Result<Heard> {
        self.end()?;
        Ok(self.take())
    }

    fn end(&mut self) -> Result<()> {
        self.stop();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Regular {
    fn drop(&mut self) {
        // Errors are for `finish`.
        let _ = self.end();
    }
}
