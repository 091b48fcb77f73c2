//! What is in force while utterances are heard: thresholds, and the commands themselves.

use super::Settings;
use crate::command::Matcher;
use crate::dialogue::{ListenMode, ListenSettings};
use crate::pipeline::Commands;

/// What is in force while utterances are heard.
#[derive(Clone, Debug)]
pub struct About {
    pub(super) listen: ListenSettings,
    /// Finds what else a text could have meant; none where there are no commands.
    pub(super) matcher: Option<Matcher>,
}

impl About {
    /// Of these commands; none for captions alone.
    pub fn new(commands: Option<&Commands>) -> Self {
        About {
            listen: commands.map_or_else(ListenSettings::default, |commands| {
                commands.dialogue.listen.clone()
            }),
            matcher: commands.map(|commands| commands.matcher.clone()),
        }
    }

    /// As it is kept.
    pub(super) fn settings(&self) -> Settings {
        let matching = self.matcher.as_ref().map(Matcher::options);
        let matching = matching.unwrap_or_default();
        Settings {
            has_commands: self.matcher.is_some(),
            listen_mode: match self.listen.mode {
                ListenMode::Always => "always",
                ListenMode::Wake => "wake",
                ListenMode::Push => "push",
            }
            .to_owned(),
            wake_threshold: self.listen.wake_threshold,
            threshold: matching.threshold,
            margin: matching.margin,
            heard_threshold: matching.heard_threshold,
            heard_margin: matching.heard_margin,
        }
    }
}
