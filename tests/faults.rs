//! A microphone that fails in every way, again and again, while the daemon listens: each time it is
//! noticed, reopened without a restart, and the lost stretch is a gap of the right length.
//!
//! Words are played into a virtual microphone at known times, whatever happens to it. As the daemon's
//! clock is that of the sound, every word that is heard after any number of gaps must have the time at
//! which it was played. `HARK_FAULTS=50` makes that many faults; `HARK_PROGRAM` names another binary
//! than the one that was built with the tests.
//!
//! Needs Linux with PulseAudio and the model tiny.en. Where that is missing the reason is printed and
//! nothing is tested, unless `HARK_REQUIRE_MIC` or `HARK_REQUIRE_MODEL` is set: then it fails.

#![cfg(feature = "mic")]
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::mic::VirtualMic;
use support::program::{arg, command, recording};
use support::random::Random;
use support::{keeps_up, model};

/// From the beginning of one word to that of the next.
const SPACING_S: [f64; 5] = [2.8, 3.1, 2.9, 3.3, 3.0];
/// Played at most without a fault: there are several in that time.
const PLAYED_SAMPLES: usize = 60 * 16_000;
/// After a gap a word's time may be off by so much more or less: the detector decides every 32 ms, and
/// a player that starts again does not do so to the sample.
const TOLERANCE_S: f64 = 0.1;
/// After the microphone is back it is heard within this time.
const RECOVERY: Duration = Duration::from_secs(2);
/// A fault is noticed within this time; a second, and what a busy machine adds.
const NOTICE: Duration = Duration::from_millis(1_300);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The microphone is taken away, and comes back.
    Unplugged,
    /// The sound server is killed, and started again.
    Crashed,
    /// The microphone delivers nothing, without an error.
    Stalled,
    /// The sound server stands still.
    Frozen,
}

const FAULTS: [Fault; 4] = [
    Fault::Unplugged,
    Fault::Crashed,
    Fault::Stalled,
    Fault::Frozen,
];

impl Fault {
    fn begin(self, mic: &VirtualMic) {
        mic.run(&[match self {
            Fault::Unplugged => "unplug",
            Fault::Crashed => "crash",
            Fault::Stalled => "suspend",
            Fault::Frozen => "freeze",
        }]);
    }

    fn end(self, mic: &VirtualMic) {
        let mut script = mic.script(&[match self {
            Fault::Unplugged => "plug",
            Fault::Crashed => "start",
            Fault::Stalled => "resume",
            Fault::Frozen => "thaw",
        }]);
        // A server that is started keeps its standard output.
        let status = script.stdout(Stdio::null()).status().unwrap();
        assert!(status.success());
    }
}

/// Words at known times, from the beginning of the test on.
struct Voice {
    samples: Vec<f32>,
    words_s: Vec<f64>,
    word_s: f64,
    began: Instant,
    wav: PathBuf,
    player: Option<Child>,
}

impl Voice {
    fn new(mic: &VirtualMic, length_s: f64) -> Self {
        let word = hark::audio::decode_file(recording("command/command_en_0003.flac")).unwrap();
        // Its first words, which begin sharply.
        let word = &word[..24_000.min(word.len())];
        let mut samples = vec![0.0; (length_s * 16_000.0) as usize];
        let (mut at_s, mut words_s) = (1.0, Vec::new());
        while at_s + 3.0 < length_s {
            let at = (at_s * 16_000.0) as usize;
            samples[at..at + word.len()].copy_from_slice(word);
            words_s.push(at_s);
            at_s += SPACING_S[words_s.len() % SPACING_S.len()];
        }
        Voice {
            samples,
            words_s,
            word_s: word.len() as f64 / 16_000.0,
            began: Instant::now(),
            wav: mic.folder.path().join("voice.wav"),
            player: None,
        }
    }

    fn now_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Plays from where it would be by now.
    fn play(&mut self, mic: &VirtualMic) {
        self.hush();
        // To write the file takes time, too: it begins a little later.
        let at_s = self.now_s() + 0.3;
        let from = ((at_s * 16_000.0) as usize).min(self.samples.len());
        let to = (from + PLAYED_SAMPLES).min(self.samples.len());
        hark::audio::write_wav(&self.wav, 16_000, &self.samples[from..to]).unwrap();
        sleep(Duration::from_secs_f64((at_s - self.now_s()).max(0.0)));
        let mut script = mic.script(&["play", arg(&self.wav)]);
        // A group of its own, so that the player within the script ends with it.
        script.process_group(0).stderr(Stdio::null());
        self.player = Some(script.spawn().unwrap());
    }

    fn hush(&mut self) {
        if let Some(mut player) = self.player.take() {
            let group = format!("-{}", player.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = player.wait();
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.hush();
    }
}

/// An event and when it came.
type Came = (Instant, Value);

/// The daemon and all it has said.
struct Daemon {
    child: Child,
    said: Arc<Mutex<Vec<Came>>>,
}

impl Daemon {
    fn start(mic: &VirtualMic) -> Self {
        let mut program = match std::env::var_os("HARK_PROGRAM") {
            Some(path) => {
                let mut program = Command::new(path);
                let models = support::root().join("models");
                program.env("HARK_MODELS", models).current_dir("/");
                program.args(["run", "--json"]);
                program
            }
            None => command(&["run", "--json"]),
        };
        program.args(["--model", "tiny.en"]);
        let mut child = program
            .envs(mic.environment.iter().cloned())
            .env("XDG_STATE_HOME", mic.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::<Mutex<Vec<Came>>>::default();
        let (stdout, to) = (BufReader::new(child.stdout.take().unwrap()), said.clone());
        spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap();
                to.lock().unwrap().push((Instant::now(), event));
            }
        });
        Daemon { child, said }
    }

    /// Events of a type from then on.
    fn of(&self, kind: &str, since: Instant) -> Vec<Came> {
        let said = self.said.lock().unwrap();
        let wanted = |(at, event): &&Came| *at >= since && event["type"] == kind;
        said.iter().filter(wanted).cloned().collect()
    }

    /// When the device was in this state, the first time after `since`.
    fn wait_for(&self, state: &str, since: Instant, patience: Duration) -> Instant {
        let deadline = Instant::now() + patience;
        loop {
            let devices = self.of("device", since);
            if let Some((at, _)) = devices.iter().find(|(_, event)| event["state"] == state) {
                return *at;
            }
            assert!(Instant::now() < deadline, "not {state}: {devices:?}");
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one fault looked like from outside.
#[derive(Debug)]
struct Outcome {
    fault: Fault,
    noticed: Duration,
    recovered: Duration,
    /// From the fault to the end of it, on the voice's clock.
    away_s: (f64, f64),
}

#[test]
fn whatever_happens_to_the_microphone_it_is_heard_again_at_the_right_time() {
    if !keeps_up() {
        return;
    }
    let (Some(_), Some(mic)) = (model("tiny.en"), VirtualMic::start()) else {
        return;
    };
    let n_faults = std::env::var("HARK_FAULTS").map_or(FAULTS.len(), |n| n.parse().unwrap());
    let mut voice = Voice::new(&mic, 40.0 + 14.0 * n_faults as f64);
    let mut daemon = Daemon::start(&mic);
    let started = Instant::now();
    voice.play(&mic);
    while daemon.of("final", started).len() < 3 {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "it does not hear"
        );
        sleep(Duration::from_millis(50));
    }
    let mut random = Random::new(11);
    let mut outcomes = Vec::new();
    for n in 0..n_faults {
        let fault = FAULTS[n % FAULTS.len()];
        outcomes.push(suffer(fault, (&mic, &daemon), &mut voice, &mut random));
        // At least one whole word between two faults.
        sleep(Duration::from_secs_f64(
            4.0 + f64::from(random.centred() + 0.5),
        ));
    }
    assert!(daemon.child.try_wait().unwrap().is_none(), "it ended");
    let heard = words_heard(&daemon, &voice, started);
    check(&outcomes, &heard, &voice);
}

fn suffer(
    fault: Fault,
    (mic, daemon): (&VirtualMic, &Daemon),
    voice: &mut Voice,
    random: &mut Random,
) -> Outcome {
    let (began, began_s) = (Instant::now(), voice.now_s());
    fault.begin(mic);
    let broken = Instant::now();
    let lost = daemon.wait_for("lost", began, Duration::from_secs(5));
    sleep(Duration::from_secs_f64(
        0.5 + 2.0 * f64::from(random.centred() + 0.5),
    ));
    fault.end(mic);
    let mended = Instant::now();
    // What played into the microphone ended, or stood still.
    voice.play(mic);
    let back = daemon.wait_for("recovered", began, Duration::from_secs(10));
    Outcome {
        fault,
        noticed: lost.saturating_duration_since(broken),
        recovered: back.saturating_duration_since(mended),
        away_s: (began_s, voice.now_s().max(began_s)),
    }
}

/// For each word that was heard, its place in the voice and how far its time is off.
fn words_heard(daemon: &Daemon, voice: &Voice, since: Instant) -> Vec<(usize, f64)> {
    let starts = daemon.of("speech_start", since);
    let starts: Vec<f64> = starts
        .iter()
        .map(|(_, e)| e["t"].as_f64().unwrap())
        .collect();
    // The daemon's clock began at some time before: the first words tell when.
    let nearest = |t: f64| {
        let distance = |i: &usize| (voice.words_s[*i] - t).abs();
        let all = 0..voice.words_s.len();
        all.min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .unwrap()
    };
    let offsets = starts.iter().take(3).map(|t| t - voice.words_s[0]);
    let best = offsets.min_by_key(|offset| {
        let off = |t: &f64| (t - offset - voice.words_s[nearest(t - offset)]).abs();
        (starts.iter().take(3).map(off).sum::<f64>() * 1e6) as u64
    });
    let offset = best.unwrap();
    let heard = starts.iter().map(|t| {
        let i = nearest(t - offset);
        (i, t - offset - voice.words_s[i])
    });
    heard.collect()
}

fn check(outcomes: &[Outcome], heard: &[(usize, f64)], voice: &Voice) {
    for outcome in outcomes {
        eprintln!("{outcome:.3?}");
    }
    let off: Vec<f64> = heard.iter().map(|(_, off)| *off).collect();
    let most = off.iter().fold(0.0f64, |most, off| most.max(off.abs()));
    eprintln!("{} words heard, at most {most:.3} s off", heard.len());
    eprintln!("{heard:.3?}");
    for outcome in outcomes {
        let in_time = outcome.noticed <= NOTICE && outcome.recovered <= RECOVERY;
        assert!(in_time, "{:?}: {outcome:?}", outcome.fault);
    }
    // A word that a fault cut may begin where it came back; whole ones have their time.
    let is_cut = |i: usize| {
        let (begin, end) = (
            voice.words_s[i] - 0.6,
            voice.words_s[i] + voice.word_s + 0.6,
        );
        let cuts = |outcome: &Outcome| outcome.away_s.0 < end && begin < outcome.away_s.1 + 0.5;
        outcomes.iter().any(cuts)
    };
    // Of several gaps the errors add up: those between two words are judged by them.
    let whole: Vec<_> = heard.iter().filter(|(i, _)| !is_cut(*i)).collect();
    for pair in whole.windows(2) {
        let [(before, off_before), (after, off_after)] = [*pair[0], *pair[1]];
        let is_between = |outcome: &&Outcome| {
            voice.words_s[before] < outcome.away_s.0
                && outcome.away_s.1 < voice.words_s[after] + 1.0
        };
        let n_gaps = outcomes.iter().filter(is_between).count();
        let change = off_after - off_before;
        eprintln!("word {before} to {after}: {n_gaps} gaps, {change:.3} s off");
        let allowed = TOLERANCE_S * n_gaps.max(1) as f64;
        assert!(change.abs() <= allowed, "{change:.3} s at {pair:?}");
    }
    let last = heard.iter().map(|(i, _)| *i).max().unwrap();
    let first = heard.iter().map(|(i, _)| *i).min().unwrap();
    for i in (first..last).filter(|i| !is_cut(*i)) {
        assert!(
            heard.iter().any(|(h, _)| *h == i),
            "word {i} is missing: {heard:.3?}"
        );
    }
}
