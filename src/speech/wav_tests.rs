//! Programs that write sound, and something that plays into memory.

#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::*;

/// Keeps what it was given; bytes that do not begin with "W" are no WAV.
#[derive(Default)]
struct Memory {
    played: Mutex<Vec<u8>>,
    /// How long the end of a text takes to be heard.
    tail: Duration,
}

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.played.lock().unwrap().clone()).unwrap()
    }
}

impl Playback for Memory {
    fn play(
        &self,
        input: &mut dyn Read,
        origin: &str,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut bytes = [0; 1_000];
        let mut is_begun = false;
        loop {
            let n = input.read(&mut bytes)?;
            if n == 0 {
                break;
            }
            if !is_begun && bytes[0] != b'W' {
                return Err(format!("{origin} is no WAV").into());
            }
            is_begun = true;
            self.played.lock().unwrap().extend_from_slice(&bytes[..n]);
        }
        let ended = Instant::now();
        while ended.elapsed() < self.tail && !stop() {
            std::thread::sleep(Duration::from_millis(2));
        }
        match is_begun || stop() {
            true => Ok(()),
            false => Err(format!("{origin} is empty").into()),
        }
    }
}

fn speaker(line: &str, tail: Duration) -> (Speaker, Arc<Memory>) {
    let options = SpeechOptions {
        program: "sh".to_owned(),
        args: vec!["-c".to_owned(), line.to_owned()],
        output: Output::Wav,
        timeout_ms: 20_000,
        ..SpeechOptions::default()
    };
    let memory = Arc::new(Memory {
        tail,
        ..Memory::default()
    });
    let speaker = Speaker::with_playback(&options, memory.clone()).unwrap();
    (speaker, memory)
}

fn wait(saying: Saying) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    saying.wait(deadline, &AtomicBool::new(false))
}

/// Waits until something was played.
fn await_sound(memory: &Memory) {
    let begun = Instant::now();
    while memory.text().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_programs_write_is_played_in_order() {
    let (speaker, memory) = speaker("printf 'W '; cat", Duration::ZERO);
    let sayings = ["one", "two", "three"].map(|text| speaker.say(text).unwrap());
    for saying in sayings {
        assert_eq!(wait(saying), Ok(Spoken::Whole));
    }
    assert_eq!(memory.text(), "W one\nW two\nW three\n");
    assert!(!speaker.is_speaking());
}

#[test]
fn sound_begins_while_the_program_still_writes() {
    let folder = tempfile::tempdir().unwrap();
    let go_on = folder.path().join("go-on");
    let line = format!(
        "printf W; until [ -e {} ]; do sleep 0.01; done; printf X",
        go_on.display()
    );
    let (speaker, memory) = speaker(&line, Duration::ZERO);
    let saying = speaker.say("x").unwrap();
    await_sound(&memory);
    assert!(speaker.is_speaking());
    assert_eq!(memory.text(), "W");
    std::fs::write(go_on, "").unwrap();
    assert_eq!(wait(saying), Ok(Spoken::Whole));
    assert_eq!(memory.text(), "WX");
}

#[test]
fn silence_is_soon_whatever_the_program_does() {
    // One that goes on writing, one that hangs, and one that has ended while its sound is heard.
    for line in [
        "trap '' TERM; yes W",
        "trap '' TERM; printf W; sleep 30; sleep 30",
        "printf W",
    ] {
        let (speaker, memory) = speaker(line, Duration::from_secs(30));
        let sayings: Vec<Saying> = (0..3).map(|_| speaker.say("x").unwrap()).collect();
        await_sound(&memory);
        let asked = Instant::now();
        speaker.silence();
        for saying in sayings {
            assert_eq!(wait(saying), Ok(Spoken::Silenced), "{line}");
        }
        let took = asked.elapsed();
        assert!(took < Duration::from_millis(200), "{line}: {took:?}");
        assert!(!speaker.is_speaking());
        // One whole text at most was begun.
        assert!(!memory.text().is_empty());
    }
}

#[test]
fn a_text_that_takes_too_long_is_ended() {
    let (mut options, memory) = (SpeechOptions::default(), Arc::<Memory>::default());
    options.program = "sh".to_owned();
    options.args = ["-c", "printf W; sleep 30"].map(str::to_owned).to_vec();
    (options.output, options.timeout_ms) = (Output::Wav, 100);
    let speaker = Speaker::with_playback(&options, memory).unwrap();
    assert_eq!(wait(speaker.say("x").unwrap()), Err(SpeechError::TimedOut));
}

#[test]
fn failures_say_whose_they_are() {
    let failure = |line: &str| {
        let (speaker, memory) = speaker(line, Duration::ZERO);
        let error = wait(speaker.say("x").unwrap()).unwrap_err();
        (error.to_string(), memory.text())
    };
    let (error, played) = failure("echo no voice >&2; exit 3");
    assert!(error.contains("sh: exit status: 3: no voice"), "{error}");
    assert_eq!(played, "");
    // What was played before stays played.
    let (error, played) = failure("printf WW; echo half >&2; exit 1");
    assert!(error.contains("sh: exit status: 1: half"), "{error}");
    assert_eq!(played, "WW");
    let (error, _) = failure("true");
    assert!(
        error.starts_with("what `sh` writes is empty (see [speech]"),
        "{error}"
    );
    // One that would write for ever is ended.
    let (error, _) = failure("yes no");
    assert!(error.starts_with("what `sh` writes is no WAV"), "{error}");
}

#[test]
fn without_playback_nothing_is_said_and_the_reason_is() {
    let options = SpeechOptions {
        output: Output::Wav,
        ..SpeechOptions::default()
    };
    let speaker = Speaker::new(&options).unwrap();
    let error = wait(speaker.say("x").unwrap());
    assert_eq!(error, Err(SpeechError::NoPlayback));
}

/// The program is not waited for by a playback that is not interested.
#[test]
fn a_playback_that_reads_nothing_more_keeps_nobody() {
    struct Short;
    impl Playback for Short {
        fn play(
            &self,
            input: &mut dyn Read,
            _origin: &str,
            _stop: &dyn Fn() -> bool,
        ) -> Result<(), Box<dyn Error + Send + Sync>> {
            input.read_exact(&mut [0; 4]).map_err(io::Error::into)
        }
    }
    let options = SpeechOptions {
        program: "sh".to_owned(),
        args: vec!["-c".to_owned(), "yes | head -c 3000000".to_owned()],
        output: Output::Wav,
        ..SpeechOptions::default()
    };
    let speaker = Speaker::with_playback(&options, Arc::new(Short)).unwrap();
    assert_eq!(wait(speaker.say("x").unwrap()), Ok(Spoken::Whole));
}
