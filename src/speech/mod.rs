//! Speech output: text to an external program that says it aloud, or writes what is then played.
//!
//! Enters: texts, from any thread. Leaves: sound, made by the program, or by a [`Playback`] of the WAV that
//! the program writes, while it does. A [`Speaker`] has one thread of its own that says one text after the
//! other; [`Speaker::say`] never waits, the queue is bounded, and [`Speaker::silence`] ends what is being
//! said and forgets what waits. The text reaches the program on its standard input, or as part of one
//! argument; never through a shell.

mod options;

use std::error::Error;
use std::io::Read;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use thiserror::Error;

use crate::process::{self, Piped, Run, RunError};

pub use options::{Cue, Cues, Output, SpeechOptions};

/// Texts that wait to be said.
const MAX_WAITING: usize = 32;
/// Longest text, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;
/// What stands for the text in an argument.
const PLACE: &str = "{text}";
/// Time a program has to end by itself when it is silenced.
const GRACE: Duration = Duration::from_millis(50);
/// How often somebody who waits for a text looks whether to go on.
const POLL: Duration = Duration::from_millis(10);

/// Why a text was not said.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpeechError {
    /// There is no program.
    #[error("speech is off: `speech.program` is empty")]
    Off,
    /// Too many texts wait already.
    #[error("too much is waiting to be said")]
    Full,
    /// No reasonable text.
    #[error("the text has {0} bytes, at most {MAX_TEXT_BYTES} are said")]
    TooLong(usize),
    /// The program could not be run, or complained.
    #[error("{program}: {reason} (see [speech] in the configuration)")]
    Program {
        /// Its name.
        program: String,
        /// What went wrong.
        reason: String,
    },
    /// What it wrote could not be played.
    #[error("{reason} (see [speech] in the configuration)")]
    Playback {
        /// What went wrong.
        reason: String,
    },
    /// It writes sound that nobody plays.
    #[error("nothing here plays sound; set `speech.output` to \"program\"")]
    NoPlayback,
    /// It took longer than allowed.
    #[error("it was not said in time")]
    TimedOut,
    /// The speaker ends.
    #[error("ended because hark stops")]
    Stopped,
}

/// How a text ended that could be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// It was said.
    Whole,
    /// It was silenced, while it was said or before.
    Silenced,
}

type Outcome = Result<Spoken, SpeechError>;

/// What plays the sound that a program writes.
pub trait Playback: Send + Sync {
    /// Plays the WAV that `input` gives, from its first samples on, until its end was heard or `stop` is
    /// true: then it is silent at once. `origin` is what `input` is called in messages.
    ///
    /// # Errors
    /// If it is no WAV, or cannot be played.
    fn play(
        &self,
        input: &mut dyn Read,
        origin: &str,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// A text on its way.
struct Item {
    text: String,
    /// How often there had been silence when it was given.
    era: u64,
    cancelled: Arc<AtomicBool>,
    outcome: Sender<Outcome>,
}

/// What the speaker shares with its thread.
struct Shared {
    options: SpeechOptions,
    playback: Option<Arc<dyn Playback>>,
    /// Texts given and not ended.
    n_open: AtomicUsize,
    /// The same texts.
    open: Mutex<Vec<String>>,
    /// How often silence was asked for.
    era: AtomicU64,
    stop: AtomicBool,
}

/// Says texts one after the other on a thread of its own. Dropping it silences it.
pub struct Speaker {
    queue: Option<Sender<Item>>,
    /// Kept to take back texts that nobody began.
    waiting: Receiver<Item>,
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

impl Speaker {
    /// Starts the thread; the program is looked for when there is something to say. It plays itself:
    /// where [`Output::Wav`] is asked for, nothing can be said.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(options: &SpeechOptions) -> std::io::Result<Speaker> {
        Speaker::start(options, None)
    }

    /// The same with something that plays what the program writes, where that is asked for.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn with_playback(
        options: &SpeechOptions,
        playback: Arc<dyn Playback>,
    ) -> std::io::Result<Speaker> {
        Speaker::start(options, Some(playback))
    }

    fn start(
        options: &SpeechOptions,
        playback: Option<Arc<dyn Playback>>,
    ) -> std::io::Result<Speaker> {
        let (queue, waiting) = bounded::<Item>(MAX_WAITING);
        let shared = Arc::new(Shared {
            options: options.clone(),
            playback,
            n_open: AtomicUsize::new(0),
            open: Mutex::default(),
            era: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let (items, of_worker) = (waiting.clone(), shared.clone());
        let worker = std::thread::Builder::new()
            .name("speech".to_owned())
            .spawn(move || {
                for item in items {
                    let outcome = of_worker.say(&item);
                    of_worker.finish(item, outcome);
                }
            })?;
        Ok(Speaker {
            queue: Some(queue),
            waiting,
            shared,
            worker: Some(worker),
        })
    }

    /// Queues `text`. The returned [`Saying`] may be waited for, or dropped; a failure that nobody
    /// waits for is logged.
    ///
    /// # Errors
    /// If there is no program, the text is too long or too many wait.
    pub fn say(&self, text: &str) -> Result<Saying, SpeechError> {
        if self.shared.options.program.is_empty() {
            return Err(SpeechError::Off);
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(SpeechError::TooLong(text.len()));
        }
        let (sender, outcome) = bounded(1);
        let cancelled = Arc::new(AtomicBool::new(false));
        let item = Item {
            text: plain(text),
            era: self.shared.era.load(Ordering::SeqCst),
            cancelled: cancelled.clone(),
            outcome: sender,
        };
        self.shared.n_open.fetch_add(1, Ordering::SeqCst);
        self.shared.open().push(item.text.clone());
        let refused = match self.queue.as_ref().map(|queue| queue.try_send(item)) {
            Some(Ok(())) => return Ok(Saying { outcome, cancelled }),
            Some(Err(TrySendError::Full(_))) => SpeechError::Full,
            Some(Err(TrySendError::Disconnected(_))) | None => SpeechError::Stopped,
        };
        self.shared.n_open.fetch_sub(1, Ordering::SeqCst);
        self.shared.forget(&plain(text));
        Err(refused)
    }

    /// Ends what is being said, and forgets what waits. Returns at once; the program is gone, and what is
    /// played silent, within 200 ms. What is said afterwards is said.
    pub fn silence(&self) {
        self.shared.era.fetch_add(1, Ordering::SeqCst);
        while let Ok(item) = self.waiting.try_recv() {
            self.shared.finish(item, Ok(Spoken::Silenced));
        }
    }

    /// What is being said, and what waits to be.
    pub fn texts(&self) -> Vec<String> {
        self.shared.open().clone()
    }

    /// Whether something is being said, or waits to be.
    pub fn is_speaking(&self) -> bool {
        self.shared.n_open.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.queue = None;
        if let Some(worker) = self.worker.take() {
            // A worker that panicked has nothing left to end.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Vec<String>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A text is not open any more.
    fn forget(&self, text: &str) {
        let mut open = self.open();
        if let Some(at) = open.iter().position(|known| known == text) {
            open.remove(at);
        }
    }

    fn is_over(&self, item: &Item) -> bool {
        self.stop.load(Ordering::SeqCst)
            || item.cancelled.load(Ordering::SeqCst)
            || self.era.load(Ordering::SeqCst) != item.era
    }

    /// Says `item` on the calling thread.
    fn say(&self, item: &Item) -> Outcome {
        if self.is_over(item) {
            return self.cut_short();
        }
        if item.text.is_empty() {
            return Ok(Spoken::Whole);
        }
        let options = &self.options;
        let as_argument = options.args.iter().any(|arg| arg.contains(PLACE));
        let args = options
            .args
            .iter()
            .map(|arg| arg.replace(PLACE, &item.text));
        let mut command = Command::new(&options.program);
        command.args(args);
        let input = match as_argument {
            true => Vec::new(),
            false => format!("{}\n", item.text).into_bytes(),
        };
        let how = Run {
            input,
            deadline: Instant::now() + Duration::from_millis(options.timeout_ms),
            stop: &|| self.is_over(item),
            grace: GRACE,
        };
        match options.output {
            Output::Program => {
                let ended = process::run(&mut command, how);
                ended.map_or_else(|error| self.unsaid(error), |_| Ok(Spoken::Whole))
            }
            Output::Wav => self.play(&mut command, how),
        }
    }

    /// Plays what the program writes while it writes it.
    fn play(&self, command: &mut Command, how: Run<'_>) -> Outcome {
        let playback = self.playback.as_ref().ok_or(SpeechError::NoPlayback)?;
        let (stop, deadline) = (how.stop, how.deadline);
        let is_late = || Instant::now() >= deadline;
        let mut piped = match Piped::start(command, how) {
            Ok(piped) => piped,
            Err(error) => return self.unsaid(error),
        };
        let origin = format!("what `{}` writes", self.options.program);
        let played = playback.play(&mut piped, &origin, &|| stop() || is_late());
        // The program may have ended long before: that says nothing.
        if stop() || is_late() {
            piped.end();
            return match stop() {
                true => self.cut_short(),
                false => Err(SpeechError::TimedOut),
            };
        }
        // A program that ended without a sound knows the reason better.
        let ended = match played.is_ok() || piped.is_drained() {
            true => piped.finish(),
            false => {
                piped.end();
                Ok(())
            }
        };
        match (ended, played) {
            (Err(error), _) => self.unsaid(error),
            (Ok(()), Err(error)) => Err(SpeechError::Playback {
                reason: error.to_string(),
            }),
            (Ok(()), Ok(())) => Ok(Spoken::Whole),
        }
    }

    /// What it means that the program was ended or failed.
    fn unsaid(&self, error: RunError) -> Outcome {
        match error {
            RunError::Stopped { .. } => self.cut_short(),
            RunError::TimedOut { .. } => Err(SpeechError::TimedOut),
            error => Err(SpeechError::Program {
                program: self.options.program.clone(),
                reason: error.to_string(),
            }),
        }
    }

    fn cut_short(&self) -> Outcome {
        match self.stop.load(Ordering::SeqCst) {
            true => Err(SpeechError::Stopped),
            false => Ok(Spoken::Silenced),
        }
    }

    fn finish(&self, item: Item, outcome: Outcome) {
        // First, so that whoever waited for the end finds silence.
        self.n_open.fetch_sub(1, Ordering::SeqCst);
        self.forget(&item.text);
        if let Err(unheard) = item.outcome.try_send(outcome)
            && let Err(error) = unheard.into_inner()
        {
            log::warn!("nothing was said: {error}");
        }
    }
}

/// A text that was given to a [`Speaker`].
pub struct Saying {
    outcome: Receiver<Outcome>,
    cancelled: Arc<AtomicBool>,
}

impl Saying {
    /// Waits until the text was said, `deadline` or `stop`; the last two end it.
    ///
    /// # Errors
    /// If the program failed, or the text was not said in time.
    pub fn wait(self, deadline: Instant, stop: &AtomicBool) -> Result<Spoken, SpeechError> {
        let unsaid = loop {
            match self.outcome.recv_timeout(POLL) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Disconnected) => break SpeechError::Stopped,
                Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => {
                    break SpeechError::Stopped;
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                    break SpeechError::TimedOut;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        self.cancelled.store(true, Ordering::SeqCst);
        Err(unsaid)
    }
}

/// `text` without what cannot be said: a program may end a sentence at a line break, or take a
/// control character for an order.
fn plain(text: &str) -> String {
    let spaced = text.replace(char::is_control, " ");
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn speaker(program: &str, args: &[&str]) -> Speaker {
        let options = SpeechOptions {
            program: program.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            ..SpeechOptions::default()
        };
        Speaker::new(&options).unwrap()
    }

    fn wait(saying: Saying) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(20);
        saying.wait(deadline, &AtomicBool::new(false))
    }

    #[test]
    fn text_reaches_the_program_in_order_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let path = said.to_str().unwrap();
        let hostile = "\"; rm -rf / $(id) 'é' -v5";
        // Standard input first, then one argument.
        for args in [
            &["-c", "cat >> \"$1\"", "sh", path][..],
            &[
                "-c",
                "printf '%s\\n' \"$2\" >> \"$1\"",
                "sh",
                path,
                "{text}",
            ],
        ] {
            let speaker = speaker("sh", args);
            let first = speaker.say(hostile).unwrap();
            let second = speaker.say("two\nlines\0 and a nul").unwrap();
            assert_eq!(wait(first), Ok(Spoken::Whole));
            assert_eq!(wait(second), Ok(Spoken::Whole));
            assert!(!speaker.is_speaking());
        }
        let expected = format!("{hostile}\ntwo lines and a nul\n").repeat(2);
        assert_eq!(std::fs::read_to_string(&said).unwrap(), expected);
    }

    #[test]
    fn silence_is_soon_and_forgets_what_waits() {
        // A program that does not want to end, with a child that does the talking.
        let speaker = speaker("sh", &["-c", "trap '' TERM; sleep 30; sleep 30"]);
        let sayings: Vec<Saying> = (0..5).map(|_| speaker.say("words").unwrap()).collect();
        assert!(speaker.is_speaking());
        // Not before it has begun.
        std::thread::sleep(Duration::from_millis(100));
        let asked = Instant::now();
        speaker.silence();
        for saying in sayings {
            assert_eq!(wait(saying), Ok(Spoken::Silenced));
        }
        let took = asked.elapsed();
        assert!(took < Duration::from_millis(200), "{took:?}");
        assert!(!speaker.is_speaking());
    }

    #[test]
    fn what_is_said_after_silence_is_said() {
        let speaker = speaker("true", &[]);
        for _ in 0..20 {
            let before = speaker.say("a").unwrap();
            speaker.silence();
            let after = speaker.say("b").unwrap();
            assert!(wait(before).is_ok());
            assert_eq!(wait(after), Ok(Spoken::Whole));
        }
    }

    #[test]
    fn failures_are_clear() {
        let missing = speaker("no-such-program-here", &[]);
        let error = wait(missing.say("x").unwrap()).unwrap_err().to_string();
        assert!(
            error.starts_with("no-such-program-here: cannot start: "),
            "{error}"
        );
        assert!(error.contains("[speech]"), "{error}");
        let failing = speaker("sh", &["-c", "echo no voice >&2; exit 3"]);
        let error = wait(failing.say("x").unwrap()).unwrap_err().to_string();
        assert!(error.contains("exit status: 3: no voice"), "{error}");
        let off = speaker("", &[]);
        assert!(off.shared.options.lacks().unwrap().contains("off"));
        assert!(
            missing
                .shared
                .options
                .lacks()
                .unwrap()
                .contains("not found")
        );
        assert_eq!(failing.shared.options.lacks(), None);
        assert_eq!(off.say("x").err(), Some(SpeechError::Off));
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        assert!(matches!(
            missing.say(&long).err(),
            Some(SpeechError::TooLong(_))
        ));
    }

    #[test]
    fn waiting_is_bounded_in_number_and_time() {
        let speaker = speaker("sleep", &["30"]);
        let mut first = None;
        let mut n_taken = 0;
        while let Ok(saying) = speaker.say("x") {
            first.get_or_insert(saying);
            n_taken += 1;
        }
        assert!((MAX_WAITING..=MAX_WAITING + 1).contains(&n_taken));
        assert_eq!(speaker.say("x").err(), Some(SpeechError::Full));
        let started = Instant::now();
        let deadline = started + Duration::from_millis(50);
        let outcome = first.unwrap().wait(deadline, &AtomicBool::new(false));
        assert_eq!(outcome, Err(SpeechError::TimedOut));
        drop(speaker);
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}

#[cfg(test)]
#[path = "wav_tests.rs"]
mod wav_tests;
