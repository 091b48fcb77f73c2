//! What hark plays itself: the sound that the program of `[speech]` writes, and short sounds that say that
//! it listens, that something was done or that it failed.
//!
//! In: events, on the caller's thread, which never waits here ([`Sounds::heed`]). Out: sound, from a thread
//! of its own. A short sound never waits for speech nor keeps it: it is played when nothing is being said,
//! ends when something is about to be, and is dropped otherwise. At most one of them waits for another.

use std::error::Error;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::audio::{AudioError, Clip, PlaybackConfig, Played, Player, Tone};
use crate::event::{ActionStatus, Event};
use crate::speech::{Cue, Playback, Speaker, SpeechOptions};

/// The output device as speech knows it.
struct Loudspeaker(Arc<Player>);

impl Playback for Loudspeaker {
    fn play(
        &self,
        input: &mut dyn Read,
        origin: &str,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.play(input, origin, stop)?;
        Ok(())
    }
}

fn player(options: &SpeechOptions) -> Arc<Player> {
    let device = options.device.clone();
    Arc::new(Player::new(PlaybackConfig { device }))
}

/// A speaker that plays what its program writes, where that is asked for.
///
/// # Errors
/// If the system gives no thread.
pub fn speaker(options: &SpeechOptions) -> io::Result<Speaker> {
    speaker_on(options, &player(options))
}

fn speaker_on(options: &SpeechOptions, player: &Arc<Player>) -> io::Result<Speaker> {
    Speaker::with_playback(options, Arc::new(Loudspeaker(player.clone())))
}

/// What speaks, and what sounds besides; none of it where the system gives it no thread.
pub(super) fn voice(options: &SpeechOptions) -> (Option<Arc<Speaker>>, Option<Sounds>) {
    let player = player(options);
    let speaker = speaker_on(options, &player);
    let speaker = speaker.inspect_err(|error| log::error!("nothing can be spoken: {error}"));
    let speaker = speaker.ok().map(Arc::new);
    let talks = speaker.clone();
    let is_speaking = move || talks.as_ref().is_some_and(|speaker| speaker.is_speaking());
    let play = move |clip: &Clip, stop: &dyn Fn() -> bool| player.play_now(clip, stop);
    let sounds = Sounds::new(Clips::load(options), Box::new(is_speaking), Box::new(play));
    (speaker, sounds)
}

/// The short sounds that there are.
#[derive(Default)]
struct Clips {
    wake: Option<Arc<Clip>>,
    done: Option<Arc<Clip>>,
    error: Option<Arc<Clip>>,
}

impl Clips {
    fn load(options: &SpeechOptions) -> Clips {
        let load = |cue: &Cue, tone: Tone| match cue {
            Cue::Silent => None,
            Cue::Tone => Some(Arc::new(tone.clip())),
            Cue::File(path) => Clip::read(path)
                .inspect_err(|error| log::error!("a sound is missing: {error}"))
                .ok()
                .map(Arc::new),
        };
        Clips {
            wake: load(&options.cues.wake, Tone::Rise),
            done: load(&options.cues.done, Tone::Soft),
            error: load(&options.cues.error, Tone::Fall),
        }
    }

    /// The one that belongs to `event`.
    fn of(&self, event: &Event) -> Option<&Arc<Clip>> {
        match event {
            Event::Wake { .. } => self.wake.as_ref(),
            // Timers ring in nobody's name.
            Event::Action { id: 0, .. } => None,
            Event::Action { status, .. } => match status {
                ActionStatus::Ok => self.done.as_ref(),
                ActionStatus::Failed | ActionStatus::TimedOut => self.error.as_ref(),
                ActionStatus::Skipped => None,
            },
            _ => None,
        }
    }
}

type IsSpeaking = Box<dyn Fn() -> bool + Send>;
type Play = Box<dyn Fn(&Clip, &dyn Fn() -> bool) -> Result<Played, AudioError> + Send>;

/// Plays short sounds on a thread of its own, which ends by itself when this is dropped.
pub(super) struct Sounds {
    clips: Clips,
    to_play: Sender<Arc<Clip>>,
    stop: Arc<AtomicBool>,
}

impl Sounds {
    /// None where there is nothing to play.
    fn new(clips: Clips, is_speaking: IsSpeaking, play: Play) -> Option<Sounds> {
        if [&clips.wake, &clips.done, &clips.error]
            .iter()
            .all(|clip| clip.is_none())
        {
            return None;
        }
        let (to_play, orders) = bounded(1);
        let stop = Arc::<AtomicBool>::default();
        let thread = Thread {
            orders,
            is_speaking,
            play,
            stop: stop.clone(),
        };
        thread::Builder::new()
            .name("sounds".to_owned())
            .spawn(move || thread.run())
            .inspect_err(|error| log::error!("no sounds: {error}"))
            .ok()?;
        Some(Sounds {
            clips,
            to_play,
            stop,
        })
    }

    /// Plays the sound of `event`, if it has one and nothing is in its way. Does not wait.
    pub(super) fn heed(&self, event: &Event) {
        if let Some(clip) = self.clips.of(event) {
            // One that does not fit is late anyway.
            let _ = self.to_play.try_send(clip.clone());
        }
    }
}

impl Drop for Sounds {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Thread {
    orders: Receiver<Arc<Clip>>,
    is_speaking: IsSpeaking,
    play: Play,
    stop: Arc<AtomicBool>,
}

impl Thread {
    fn run(self) {
        let is_over = || self.stop.load(Ordering::Relaxed) || (self.is_speaking)();
        for clip in &self.orders {
            if is_over() {
                continue;
            }
            if let Err(error) = (self.play)(&clip, &is_over) {
                log::warn!("a sound was not played: {error}");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Seconds;
    use crate::speech::Cues;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn action(id: u64, status: ActionStatus) -> Event {
        Event::Action {
            id,
            name: "lights".to_owned(),
            status,
            error: None,
            output: None,
            ms: None,
        }
    }

    fn wake() -> Event {
        Event::Wake {
            id: 1,
            t: Seconds(1.0),
            phrase: "hey hark".to_owned(),
            score: 0.0,
        }
    }

    fn clips(done: Cue) -> Clips {
        Clips::load(&SpeechOptions {
            cues: Cues {
                wake: Cue::Tone,
                done,
                error: Cue::Tone,
            },
            ..SpeechOptions::default()
        })
    }

    #[test]
    fn events_have_their_sounds() {
        let clips = clips(Cue::Tone);
        let is = |event: &Event, tone: Option<Tone>| {
            clips.of(event).map(|clip| Clip::clone(clip)) == tone.map(Tone::clip)
        };
        assert!(is(&wake(), Some(Tone::Rise)));
        assert!(is(&action(1, ActionStatus::Ok), Some(Tone::Soft)));
        assert!(is(&action(1, ActionStatus::Failed), Some(Tone::Fall)));
        assert!(is(&action(1, ActionStatus::TimedOut), Some(Tone::Fall)));
        assert!(is(&action(1, ActionStatus::Skipped), None));
        assert!(is(&action(0, ActionStatus::Failed), None));
        let missing = Clips::load(&SpeechOptions {
            cues: Cues {
                wake: Cue::File("/none/such.wav".into()),
                ..Cues::default()
            },
            ..SpeechOptions::default()
        });
        assert!(missing.of(&wake()).is_none());
    }

    /// Sounds on a device that tells what it plays, and plays until it is told to end or `stop`.
    fn sounds(
        speaking: &Arc<AtomicBool>,
    ) -> (Sounds, Receiver<Clip>, Sender<()>, Receiver<Played>) {
        let (begun_in, begun) = bounded(16);
        let (end, ends) = bounded(16);
        let (ended_in, ended) = bounded(16);
        let play = move |clip: &Clip, stop: &dyn Fn() -> bool| {
            begun_in.send(clip.clone()).unwrap();
            let played = loop {
                if stop() {
                    break Played::Cut;
                }
                if ends.recv_timeout(Duration::from_millis(2)).is_ok() {
                    break Played::Whole;
                }
            };
            let _ = ended_in.send(played);
            Ok(played)
        };
        let talks = speaking.clone();
        let is_speaking = move || talks.load(Ordering::SeqCst);
        let sounds = Sounds::new(clips(Cue::Silent), Box::new(is_speaking), Box::new(play));
        (sounds.unwrap(), begun, end, ended)
    }

    #[test]
    fn a_sound_is_played_or_dropped_and_keeps_nobody() {
        let speaking = Arc::<AtomicBool>::default();
        let (sounds, begun, end, ended) = sounds(&speaking);
        sounds.heed(&wake());
        assert_eq!(begun.recv_timeout(PATIENCE).unwrap(), Tone::Rise.clip());
        // One more waits, and a third is dropped; nobody waits for either.
        for status in [
            ActionStatus::Failed,
            ActionStatus::Ok,
            ActionStatus::TimedOut,
        ] {
            sounds.heed(&action(1, status));
        }
        end.send(()).unwrap();
        assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), Played::Whole);
        assert_eq!(begun.recv_timeout(PATIENCE).unwrap(), Tone::Fall.clip());
        // Speech ends a sound.
        speaking.store(true, Ordering::SeqCst);
        assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), Played::Cut);
        assert!(begun.try_recv().is_err());
    }

    #[test]
    fn while_something_is_said_there_is_no_sound() {
        let speaking = Arc::new(AtomicBool::new(true));
        let (sounds, begun, _end, ended) = sounds(&speaking);
        sounds.heed(&wake());
        // Taken, and not played.
        while !sounds.to_play.is_empty() {
            thread::yield_now();
        }
        sounds.heed(&wake());
        while !sounds.to_play.is_empty() {
            thread::yield_now();
        }
        speaking.store(false, Ordering::SeqCst);
        sounds.heed(&action(1, ActionStatus::Failed));
        assert_eq!(begun.recv_timeout(PATIENCE).unwrap(), Tone::Fall.clip());
        drop(sounds);
        assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), Played::Cut);
    }

    #[test]
    fn without_sounds_there_is_no_thread() {
        let silent = Sounds::new(
            Clips::default(),
            Box::new(|| false),
            Box::new(|_, _| Ok(Played::Whole)),
        );
        assert!(silent.is_none());
    }
}
