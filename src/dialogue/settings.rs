//! What can be set about a conversation. The defaults are those of the shipped configuration.

use std::sync::Arc;

use super::Phrases;
use crate::command::Action;
use crate::place::Place;

/// Everything about a conversation.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who is spoken to.
    pub listen: ListenSettings,
    /// Questions, answers and second thoughts.
    pub talk: TalkSettings,
    /// Timers.
    pub timers: TimerSettings,
}

/// What counts as spoken to hark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListenMode {
    /// Everything.
    #[default]
    Always,
    /// What begins with a wake phrase, and what follows soon.
    Wake,
    /// What is said while push-to-talk is on.
    Push,
}

/// `[listen]`
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// What counts.
    pub mode: ListenMode,
    /// Phrases of which one begins what is said to hark, in wake mode.
    pub wake_phrases: Vec<String>,
    /// Lowest score of a phrase that is heard and not written: the logarithm of the probability that
    /// the utterance begins with it.
    pub wake_threshold: f32,
    /// Seconds after a command or a reply in which no wake phrase is needed.
    pub follow_up_s: f32,
    /// What silences speech and timers that ring.
    pub stop_words: Phrases,
}

impl Default for ListenSettings {
    fn default() -> Self {
        ListenSettings {
            mode: ListenMode::Always,
            wake_phrases: vec!["hey hark".to_owned()],
            wake_threshold: -5.0,
            follow_up_s: 8.0,
            stop_words: Phrases::of(&["stop", "(be quiet|quiet|silence)"]),
        }
    }
}

/// `[dialogue]`
#[derive(Clone, Debug)]
pub struct TalkSettings {
    /// Commands in one sentence at most.
    pub max_commands: usize,
    /// Seconds that a question waits for its answer.
    pub confirm_s: f32,
    /// Seconds in which an action can be taken back.
    pub undo_s: f32,
    /// What means yes.
    pub yes: Phrases,
    /// What means no.
    pub no: Phrases,
    /// What takes the last action back.
    pub undo: Phrases,
    /// What has the last reply said again.
    pub repeat: Phrases,
    /// What ends a conversation.
    pub never_mind: Phrases,
}

impl Default for TalkSettings {
    fn default() -> Self {
        TalkSettings {
            max_commands: 4,
            confirm_s: 10.0,
            undo_s: 60.0,
            yes: Phrases::of(&[
                "(yes|yeah|yep|sure|okay) [please|do [it|that]]",
                "please do",
                "do (it|that)",
                "go ahead",
            ]),
            no: Phrases::of(&["(no|nope) [thank[s] [you]]", "[no] do not [do (it|that)]"]),
            undo: Phrases::of(&["undo [that|it]", "take (that|it) back"]),
            repeat: Phrases::of(&[
                "repeat [that|it]",
                "say (that|it) again",
                "what did you say",
            ]),
            never_mind: Phrases::of(&["never mind", "forget (it|that)", "cancel [that|it]"]),
        }
    }
}

/// `[timers]`
#[derive(Clone, Debug, PartialEq)]
pub struct TimerSettings {
    /// Whether the sentences for timers are understood.
    pub enabled: bool,
    /// Names that timers may have, as templates.
    pub names: Vec<String>,
    /// How often one that is over rings.
    pub rings: u32,
    /// Seconds from one ring to the next.
    pub ring_every_s: f32,
    /// What is done at each ring, with the slots `name` and `number`.
    pub ring: Option<Arc<Action>>,
    /// Where timers are kept over a restart.
    pub state_file: Place,
}

/// Kinds of things that people set timers for.
const NAMES: &[&str] = &[
    "pizza",
    "pasta",
    "rice",
    "egg[s]",
    "tea",
    "coffee",
    "bread",
    "cake",
    "oven",
    "chicken",
    "potato[es]",
    "laundry",
    "washing",
    "dryer",
    "dishwasher",
    "nap",
    "break",
    "workout",
    "game",
    "homework",
    "meeting",
    "breakfast",
    "lunch",
    "dinner",
];

impl Default for TimerSettings {
    fn default() -> Self {
        TimerSettings {
            enabled: false,
            names: NAMES.iter().map(|name| (*name).to_owned()).collect(),
            rings: 3,
            ring_every_s: 10.0,
            ring: None,
            state_file: Place::Auto,
        }
    }
}
