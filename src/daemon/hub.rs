//! Events for programs that subscribed to them. Publishing never waits: who is too slow misses
//! some, is told how many, and keeps nobody from anything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::stats::Stats;

/// Events that wait for a subscriber.
const N_WAITING: usize = 1_024;

/// Where events are published. Clones are the same hub.
#[derive(Clone, Debug)]
pub struct Hub {
    subscribers: Arc<Mutex<Vec<Subscriber>>>,
    stats: Stats,
}

#[derive(Debug)]
struct Subscriber {
    lines: Sender<Arc<str>>,
    n_missed: Arc<AtomicU64>,
}

/// The events from the subscription on, as JSON lines without their ends.
#[derive(Debug)]
pub struct Subscription {
    /// The lines; at the end, the hub is gone.
    pub lines: Receiver<Arc<str>>,
    n_missed: Arc<AtomicU64>,
}

impl Subscription {
    /// Events missed since this was last asked.
    pub fn take_missed(&self) -> u64 {
        self.n_missed.swap(0, Ordering::Relaxed)
    }
}

impl Hub {
    /// A hub without subscribers.
    pub fn new(stats: &Stats) -> Self {
        Hub {
            subscribers: Arc::default(),
            stats: stats.clone(),
        }
    }

    /// All events from now on.
    pub fn subscribe(&self) -> Subscription {
        let (sender, lines) = bounded(N_WAITING);
        let n_missed = Arc::<AtomicU64>::default();
        let mut subscribers = self
            .subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        subscribers.push(Subscriber {
            lines: sender,
            n_missed: n_missed.clone(),
        });
        Subscription { lines, n_missed }
    }

    /// Nothing more comes: subscriptions end after what waits for them.
    pub fn close(&self) {
        let mut subscribers = self
            .subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        subscribers.clear();
    }

    /// Hands a line to every subscriber; `line` is made only where there are any.
    pub fn publish(&self, line: impl FnOnce() -> String) {
        let mut subscribers = self
            .subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if subscribers.is_empty() {
            return;
        }
        let line: Arc<str> = line().into();
        subscribers.retain(|subscriber| match subscriber.lines.try_send(line.clone()) {
            Ok(()) => true,
            Err(error) => {
                if error.is_full() {
                    subscriber.n_missed.fetch_add(1, Ordering::Relaxed);
                    self.stats.threads.events_dropped.count();
                }
                error.is_full()
            }
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_slow_miss_some_and_the_gone_are_forgotten() {
        let stats = Stats::default();
        let hub = Hub::new(&stats);
        hub.publish(|| unreachable!("nobody listens"));
        let (slow, gone) = (hub.subscribe(), hub.subscribe());
        drop(gone);
        for n in 0..N_WAITING + 3 {
            hub.publish(|| n.to_string());
        }
        assert_eq!(slow.take_missed(), 3);
        assert_eq!(slow.take_missed(), 0);
        assert_eq!(stats.threads.events_dropped.get(), 3);
        assert_eq!(&*slow.lines.recv().unwrap(), "0");
        assert_eq!(hub.subscribers.lock().unwrap().len(), 1);
    }
}
