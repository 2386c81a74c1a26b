//! The way to the thread that owns the daemon's state.

use std::sync::{Arc, mpsc};

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::{
    api::types::{
        ConfigDiff, Defences, EntryPage, Event, EventPage, HistoryPage, IncidentDetail,
        IncidentPage, Limits, ListKind, Outcome, Rules, SamplePage, SampleQuery, Services, Stats,
        Status, Why, WhyQuery,
    },
    core::{actor::Actor, command::Command, refusal::Refusal},
    detect::View,
    metrics::Metrics,
};

/// What the daemon answers. Implemented by the daemon, and by a fake in the tests of the API.
pub trait Service: Send {
    /// The state of things.
    fn status(&mut self) -> Result<Status, Refusal>;
    /// Rates and totals.
    fn stats(&mut self) -> Result<Stats, Refusal>;
    /// A page of a list: at most `limit` entries behind `cursor`, only of list `name` if given.
    fn entries(
        &mut self,
        list: ListKind,
        name: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<EntryPage, Refusal>;
    /// All limits.
    fn limits(&mut self) -> Result<Limits, Refusal>;
    /// All defences.
    fn defences(&mut self) -> Result<Defences, Refusal>;
    /// All rules, in order.
    fn rules(&mut self) -> Result<Rules, Refusal>;
    /// All protected services, in order.
    fn services(&mut self) -> Result<Services, Refusal>;
    /// What would happen to a packet.
    fn why(&mut self, query: &WhyQuery) -> Result<Why, Refusal>;
    /// At most `limit` events with an id above `after`; the newest if `after` is `None`.
    fn events(&mut self, after: Option<i64>, limit: usize) -> Result<EventPage, Refusal>;
    /// Sampled packets.
    fn samples(&mut self, query: &SampleQuery) -> Result<SamplePage, Refusal>;
    /// At most `limit` incidents with a number below `before`, or the newest.
    fn incidents(&mut self, before: Option<u64>, limit: usize) -> Result<IncidentPage, Refusal>;
    /// One incident.
    fn incident(&mut self, id: u64) -> Result<IncidentDetail, Refusal>;
    /// At most `limit` seconds of a time.
    fn history(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<HistoryPage, Refusal>;
    /// What a reload with this text, or with the file as it is, would change.
    fn config_diff(&mut self, text: Option<&str>) -> Result<ConfigDiff, Refusal>;
    /// What the controller sees.
    fn view(&mut self) -> Result<View, Refusal>;
    /// What is measured.
    fn metrics(&mut self) -> Result<Metrics, Refusal>;
    /// Carries out a command, or, with `dry_run`, says what it would do.
    fn execute(
        &mut self,
        actor: &Actor,
        command: Command,
        dry_run: bool,
    ) -> Result<Outcome, Refusal>;
}

/// Something to be done on the daemon's thread.
pub type Job = Box<dyn FnOnce(&mut dyn Service) + Send>;

/// The way to the daemon's thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    jobs: mpsc::SyncSender<Job>,
    events: tokio::sync::broadcast::Sender<Arc<Event>>,
}

impl Handle {
    /// A handle, and the queue that the daemon's thread empties. At most `room` jobs wait.
    pub fn new(room: usize) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, queue) = mpsc::sync_channel(room);
        let (events, _) = tokio::sync::broadcast::channel(256);
        (Self { jobs, events }, queue)
    }

    /// Runs something on the daemon's thread and brings back what it returns.
    pub async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Service) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |service| {
            // Whoever asked may have gone.
            let _ = reply.send(job(service));
        });
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => {
                Refusal::failed("floodwall is busy with other commands; try again in a moment")
            }
            mpsc::TrySendError::Disconnected(_) => Refusal::failed("floodwall is shutting down"),
        })?;
        answer
            .await
            .map_err(|_| Refusal::failed("floodwall is shutting down"))?
    }

    /// Events from now on. A follower that is slower than 256 events loses the oldest.
    pub fn follow(&self) -> tokio::sync::broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// Tells followers.
    pub fn publish(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(Arc::new(event));
    }
}
