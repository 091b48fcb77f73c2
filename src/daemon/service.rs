//! What a service manager is told: that hark is ready, how it goes, and that it still gets on.
//!
//! Ready is when the model is warm (it is before the threads start) and the first sound has come, or
//! when it is known that there is no microphone: then the status says so. The watchdog is fed on the
//! caller's thread, and only while the other threads get on as well, so that any thread that hangs
//! lets the service manager start hark again.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::health::Health;
use super::situation::Situation;
use super::supervise::name;

/// How often it is looked whether all is ready, or whether something else is to be said.
const UNTIL_READY: Duration = Duration::from_millis(50);

/// Takes what the service manager is told.
pub trait Notify: Send {
    /// Tells it.
    fn tell(&self, states: &[NotifyState<'_>]);
}

/// systemd, through `$NOTIFY_SOCKET`; nobody where that is not set.
pub struct Systemd;

impl Notify for Systemd {
    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            log::warn!("cannot tell the service manager: {error}");
        }
    }
}

/// See the module.
pub struct Service {
    notify: Box<dyn Notify>,
    /// How often the watchdog must be fed at least.
    watchdog: Option<Duration>,
    is_ready: bool,
    is_hung: bool,
    status: String,
    next_feed: Instant,
}

impl Service {
    /// The service manager that started this process, if one did.
    pub fn of_environment() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        Some(Service::new(
            Box::new(Systemd),
            sd_notify::watchdog_enabled(),
        ))
    }

    /// Tells `notify`, which wants to hear from us at least every `watchdog`.
    pub fn new(notify: Box<dyn Notify>, watchdog: Option<Duration>) -> Self {
        Service {
            notify,
            watchdog,
            is_ready: false,
            is_hung: false,
            status: String::new(),
            next_feed: Instant::now(),
        }
    }

    /// How long nothing has to be said, unless something happens.
    pub(super) fn wait(&self) -> Option<Duration> {
        if !self.is_ready {
            return Some(UNTIL_READY);
        }
        let left = || self.next_feed.saturating_duration_since(Instant::now());
        self.watchdog.map(|_| left())
    }

    /// Says what is to be said now.
    pub(super) fn serve(&mut self, health: &Health, situation: &Situation) {
        let status = situation.in_words();
        if !self.is_ready && health.has_begun() {
            self.is_ready = true;
            let status = NotifyState::Status(&status);
            self.notify.tell(&[NotifyState::Ready, status]);
        } else if self.is_ready && status != self.status {
            self.notify.tell(&[NotifyState::Status(&status)]);
        }
        if self.is_ready {
            self.status = status;
        }
        self.feed(health);
    }

    fn feed(&mut self, health: &Health) {
        let Some(watchdog) = self.watchdog.filter(|_| Instant::now() >= self.next_feed) else {
            return;
        };
        match health.hung(watchdog) {
            None => {
                self.is_hung = false;
                self.notify.tell(&[NotifyState::Watchdog]);
            }
            Some(stage) if !self.is_hung => {
                self.is_hung = true;
                log::error!(
                    "the {} has not got on for {} s: the watchdog is not fed",
                    name(stage),
                    watchdog.as_secs()
                );
            }
            Some(_) => {}
        }
        // systemd advises half of the time; a third leaves room for one that comes late.
        self.next_feed = Instant::now() + watchdog / 3;
    }

    /// Another configuration was asked for; `serve` goes on meanwhile.
    pub fn reloading(notify: &dyn Notify) {
        let now = NotifyState::monotonic_usec_now();
        match now {
            Ok(now) => notify.tell(&[NotifyState::Reloading, now]),
            Err(_) => notify.tell(&[NotifyState::Reloading]),
        }
    }

    /// It holds, or could not be used.
    pub(super) fn reloaded(&mut self) {
        self.notify.tell(&[NotifyState::Ready]);
    }

    /// The end has begun.
    pub(super) fn stopping(&mut self) {
        self.notify.tell(&[NotifyState::Stopping]);
    }
}
