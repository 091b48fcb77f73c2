//! Who is spoken to: every utterance, those behind a wake phrase, or those at the push of a button.
//!
//! Pure, on the sample clock.

use super::{ListenMode, ListenSettings};
use crate::command::words;
use crate::event::{Seconds, WakeHeard};

/// Whether an utterance is for hark.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Address {
    /// It is not.
    No,
    /// It is, as it stands.
    Plain,
    /// It is, because it begins with a wake phrase; what was said after it.
    Called(WakeHeard),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Listen {
    settings: ListenSettings,
    /// Until when no wake phrase is needed.
    open_until: Option<Seconds>,
    /// Whether push-to-talk is on.
    pushed: bool,
    /// Beginning of the open utterance, and whether push-to-talk was on at some time in it.
    utterance: Option<(Seconds, bool)>,
}

impl Listen {
    /// Nothing was said yet, and push-to-talk is off.
    pub(crate) fn new(settings: ListenSettings) -> Self {
        Listen {
            settings,
            open_until: None,
            pushed: false,
            utterance: None,
        }
    }

    /// An utterance begins.
    pub(crate) fn begin(&mut self, t: Seconds) {
        self.utterance = Some((t, self.pushed));
    }

    /// It is over.
    pub(crate) fn end(&mut self) {
        self.utterance = None;
    }

    /// Beginning of the open utterance.
    pub(crate) fn utterance_start(&self) -> Option<Seconds> {
        self.utterance.map(|(t, _)| t)
    }

    /// Push-to-talk is on from now on, or off; whether that is a change.
    pub(crate) fn push(&mut self, on: bool) -> bool {
        let changes = on != self.pushed;
        self.pushed = on;
        if let (true, Some((_, pushed))) = (on, &mut self.utterance) {
            *pushed = true;
        }
        changes
    }

    /// Whether push-to-talk is on.
    pub(crate) fn is_pushed(&self) -> bool {
        self.pushed
    }

    /// From `t` on no wake phrase is needed for a while.
    pub(crate) fn open(&mut self, t: Seconds) {
        let until = Seconds(t.0 + f64::from(self.settings.follow_up_s));
        if self.open_until.is_none_or(|known| known < until) {
            self.open_until = Some(until);
        }
    }

    /// Whether no wake phrase is needed at `t`.
    pub(crate) fn is_open(&self, t: Seconds) -> bool {
        self.open_until.is_some_and(|until| t <= until)
    }

    /// From now on a wake phrase is needed again; whether it was not until now.
    pub(crate) fn close(&mut self, t: Seconds) -> bool {
        let was_open = self.open_until.take().is_some_and(|until| t <= until);
        was_open && self.settings.mode == ListenMode::Wake
    }

    /// Whether an utterance that began at `t0` is for hark; `heard` is the wake phrase in its
    /// audio.
    pub(crate) fn address(&self, t0: Seconds, text: &str, heard: Option<&WakeHeard>) -> Address {
        let follows = || self.open_until.is_some_and(|until| t0 <= until);
        match self.settings.mode {
            ListenMode::Always => Address::Plain,
            ListenMode::Push => match self.utterance {
                Some((_, true)) => Address::Plain,
                _ if self.pushed => Address::Plain,
                _ => Address::No,
            },
            ListenMode::Wake => match self.called(text, heard) {
                Some(called) => Address::Called(called),
                None if follows() => Address::Plain,
                None => Address::No,
            },
        }
    }

    /// The wake phrase that begins the utterance: as transcribed, or else as heard in the audio.
    fn called(&self, text: &str, heard: Option<&WakeHeard>) -> Option<WakeHeard> {
        let written = self.settings.wake_phrases.iter().find_map(|phrase| {
            let rest = after_phrase(text, phrase)?;
            Some(WakeHeard {
                phrase: phrase.clone(),
                score: 0.0,
                rest: rest.to_owned(),
            })
        });
        let is_sure = |heard: &&WakeHeard| heard.score >= self.settings.wake_threshold;
        written.or_else(|| heard.filter(is_sure).cloned())
    }
}

/// What comes after `phrase` in a text that begins with it.
pub(crate) fn after_phrase<'t>(text: &'t str, phrase: &str) -> Option<&'t str> {
    let wanted = words::normalise(phrase);
    if wanted.is_empty() {
        return None;
    }
    let belongs = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '\u{2019}');
    let ends = text
        .char_indices()
        .filter(|(_, c)| !belongs(*c))
        .map(|(at, _)| at)
        .chain([text.len()]);
    for end in ends {
        let begun = words::normalise(&text[..end]);
        if begun.len() > wanted.len() {
            return None;
        }
        if begun == wanted {
            return Some(text[end..].trim_start_matches(|c: char| !c.is_alphanumeric()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(mode: ListenMode) -> Listen {
        Listen::new(ListenSettings {
            mode,
            wake_phrases: vec!["hey hark".to_owned(), "computer".to_owned()],
            follow_up_s: 5.0,
            ..ListenSettings::default()
        })
    }

    fn rest(address: Address) -> Option<String> {
        match address {
            Address::Called(called) => Some(called.rest),
            _ => None,
        }
    }

    #[test]
    fn a_phrase_is_found_at_the_beginning_only() {
        let listen = listen(ListenMode::Wake);
        let t = Seconds(1.0);
        for (text, expected) in [
            ("Hey Hark, lights off.", Some("lights off.")),
            ("hey, hark! Lights off", Some("Lights off")),
            ("Hey hark.", Some("")),
            ("Computer: what time is it?", Some("what time is it?")),
            ("The computer is off", None),
            ("Hey Harker, lights off", None),
            ("computer's off", None),
            ("hey", None),
            ("", None),
        ] {
            let got = rest(listen.address(t, text, None));
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_phrase_in_the_audio_counts_too() {
        let heard = WakeHeard {
            phrase: "hey hark".to_owned(),
            score: -0.3,
            rest: "lights off".to_owned(),
        };
        let listen = listen(ListenMode::Wake);
        let address = |heard: &WakeHeard| {
            let text = "Hey heart, lights off.";
            listen.address(Seconds(1.0), text, Some(heard))
        };
        assert_eq!(address(&heard), Address::Called(heard.clone()));
        let unlikely = WakeHeard {
            score: -9.0,
            ..heard
        };
        assert_eq!(address(&unlikely), Address::No);
    }

    #[test]
    fn the_window_opens_and_closes_on_the_sample_clock() {
        let mut listen = listen(ListenMode::Wake);
        let at = |listen: &Listen, t| listen.address(Seconds(t), "lights off", None);
        assert_eq!(at(&listen, 1.0), Address::No);
        listen.open(Seconds(2.0));
        assert_eq!(at(&listen, 7.0), Address::Plain);
        assert_eq!(at(&listen, 7.001), Address::No);
        // An earlier reason does not shorten it.
        listen.open(Seconds(1.0));
        assert_eq!(at(&listen, 7.0), Address::Plain);
        assert!(listen.close(Seconds(3.0)));
        assert_eq!(at(&listen, 3.0), Address::No);
        assert!(!listen.close(Seconds(3.0)));
    }

    #[test]
    fn a_push_counts_for_the_utterance_it_falls_into() {
        let mut listen = listen(ListenMode::Push);
        let now = |listen: &Listen| listen.address(Seconds(1.0), "lights off", None);
        listen.begin(Seconds(1.0));
        assert_eq!(now(&listen), Address::No);
        assert!(listen.push(true));
        assert!(!listen.push(true));
        listen.push(false);
        // The button may be let go before the sentence counts as over.
        assert_eq!(now(&listen), Address::Plain);
        listen.end();
        listen.begin(Seconds(4.0));
        assert_eq!(now(&listen), Address::No);
    }
}
