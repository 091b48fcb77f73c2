//! Who sees every event of the daemon: programs that subscribed, and the ledger.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::output::json;
use super::setup::Setup;
use crate::config::LedgerConfig;
use crate::daemon::{Hub, Observer, Situation};
use crate::ledger::{About, Ledger};
use crate::pipeline::Settings;

/// Makes observers, one for each configuration.
pub(crate) struct Observers {
    hub: Hub,
    began: Instant,
    situation: Arc<Situation>,
    /// The ledger of the last observer, which closes it when it ends.
    ledger: Weak<Ledger>,
    config: LedgerConfig,
}

impl Observers {
    /// Observers that hand events to `hub`; their wall clock counts from `began`.
    pub(crate) fn new(hub: &Hub, began: Instant, situation: &Arc<Situation>) -> Self {
        Observers {
            hub: hub.clone(),
            began,
            situation: situation.clone(),
            ledger: Weak::new(),
            config: LedgerConfig::default(),
        }
    }

    /// The observer of a configuration; where it has the same ledger as the one before, that goes on.
    pub(crate) fn next(&mut self, setup: &Setup, settings: &Settings) -> Observer {
        let (hub, began) = (self.hub.clone(), self.began);
        let ledger = self.ledger(&setup.config.ledger, settings);
        let situation = self.situation.clone();
        Box::new(move |event| {
            hub.publish(|| json::live_event(event, began.elapsed()));
            if let Some(ledger) = &ledger {
                ledger.note(event);
                let (counters, to) = (ledger.counters(), &situation.stats.ledger);
                to.written.set(counters.n_written);
                to.dropped.set(counters.n_dropped);
                to.failed.set(counters.n_failed);
            }
        })
    }

    fn ledger(&mut self, config: &LedgerConfig, settings: &Settings) -> Option<Arc<Ledger>> {
        let about = About::new(settings.commands.as_ref());
        if let Some(same) = self.ledger.upgrade().filter(|_| *config == self.config) {
            same.change(about);
            return Some(same);
        }
        self.config = config.clone();
        let ledger = Ledger::open(config, about).map(Arc::new);
        self.ledger = ledger.as_ref().map_or_else(Weak::new, Arc::downgrade);
        ledger
    }
}
