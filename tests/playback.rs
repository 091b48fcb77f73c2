//! Speech through hark's own playback from end to end: what a program writes is heard in a null sink of a
//! private sound server, whole, in order, and until it is silenced.
//!
//! Needs Linux with PulseAudio (`scripts/virtual-mic.sh` says what to install). Where that is missing the
//! reason is printed and nothing is tested, unless `HARK_REQUIRE_MIC` is set: then it fails. The sound
//! system is chosen by environment variables, which a running program must not change, so that a second
//! process speaks: this program again, with `--ignored`.

#![cfg(feature = "mic")]
#![allow(clippy::unwrap_used)]

mod support;

use std::f32::consts::TAU;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hark::audio::{PcmFormat, PcmSpec, wav_bytes};
use hark::daemon::speaker;
use hark::speech::{Output, SpeechOptions};
use support::mic::VirtualMic;
use support::program::{arg, command};

/// The WAV that the program of the second process writes, and the device it is played on.
const WAV: &str = "HARK_TEST_WAV";
const DEVICE: &str = "HARK_TEST_OUTPUT";

const RATE_HZ: usize = 16_000;
/// Samples whose loudness is looked at together: 10 ms.
const WINDOW: usize = 160;
/// Nothing takes longer.
const LONGEST: Duration = Duration::from_secs(60);

/// Two sound servers at once only make each other late.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Not a test: the process that speaks. A line `say` on its standard input says a text, `wait` waits until
/// all were said and tells how they ended, `silence` silences.
#[test]
#[ignore = "the other tests run it as a process of its own"]
fn speaks() {
    let Ok(wav) = std::env::var(WAV) else {
        return;
    };
    let options = SpeechOptions {
        program: "sh".to_owned(),
        args: ["-c", "cat >/dev/null; cat \"$1\"", "sh", &wav]
            .map(str::to_owned)
            .to_vec(),
        output: Output::Wav,
        device: std::env::var(DEVICE).unwrap(),
        ..SpeechOptions::default()
    };
    let speaker = speaker(&options).unwrap();
    let mut sayings = Vec::new();
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "say" => sayings.push(speaker.say("words").unwrap()),
            "silence" => speaker.silence(),
            _ => {
                let stop = AtomicBool::new(false);
                let deadline = Instant::now() + LONGEST;
                for saying in sayings.drain(..) {
                    match saying.wait(deadline, &stop) {
                        Ok(spoken) => println!("\nended: {spoken:?}"),
                        Err(error) => println!("\nended: {error}"),
                    }
                }
            }
        }
        std::io::stdout().flush().unwrap();
    }
}

/// The second process; ended when dropped.
struct Talker {
    child: Child,
    stdin: ChildStdin,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Talker {
    fn new(mic: &VirtualMic, wav: &Path, device: &str) -> Talker {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "speaks", "--ignored", "--nocapture"])
            .envs(mic.environment.iter().cloned())
            .env(WAV, wav)
            .env(DEVICE, device)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Talker {
            stdin: child.stdin.take().unwrap(),
            lines: Box::new(lines.map_while(Result::ok)),
            child,
        }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// How the next of the texts ended that were waited for.
    fn ended(&mut self) -> String {
        let ended = self.lines.find_map(|line| {
            let (_, how) = line.split_once("ended: ")?;
            Some(how.to_owned())
        });
        ended.expect("the second process goes on")
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the loudspeaker plays, as it comes.
struct Recording {
    child: Child,
    samples: Arc<Mutex<Vec<f32>>>,
}

impl Recording {
    fn start(mic: &VirtualMic) -> Recording {
        let mut child = Command::new("parec")
            .args([
                "--device=vspeaker.monitor",
                "--format=s16le",
                "--channels=1",
            ])
            .args(["--rate=16000", "--latency-msec=10"])
            .envs(mic.environment.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let samples = Arc::<Mutex<Vec<f32>>>::default();
        let heard = samples.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 320];
            while stdout.read_exact(&mut bytes).is_ok() {
                let mut samples = heard.lock().unwrap();
                PcmFormat::S16Le.decode(&bytes, &mut samples);
            }
        });
        let recording = Recording { child, samples };
        recording.until("it records", |samples| samples.len() > RATE_HZ / 10);
        recording
    }

    fn heard(&self) -> Vec<f32> {
        self.samples.lock().unwrap().clone()
    }

    /// Waits until what was recorded is so.
    fn until(&self, what: &str, is_so: impl Fn(&[f32]) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.samples.lock().unwrap()) {
            assert!(begun.elapsed() < LONGEST, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Records so much more.
    fn more(&self, ms: usize) {
        let n = self.samples.lock().unwrap().len() + RATE_HZ * ms / 1_000;
        self.until("more is recorded", |samples| samples.len() >= n);
    }

    fn forget(&self) {
        self.samples.lock().unwrap().clear();
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TONE_HZ: f32 = 1_000.0;

/// A WAV of unknown length, as a program writes that has not spoken yet.
fn tone(folder: &Path, name: &str, seconds: f32) -> PathBuf {
    let rate_hz = 22_050;
    let n = (seconds * rate_hz as f32) as usize;
    let samples: Vec<f32> = (0..n)
        .map(|i| 0.25 * (TAU * TONE_HZ * i as f32 / rate_hz as f32).sin())
        .collect();
    let spec = PcmSpec {
        format: PcmFormat::S16Le,
        rate_hz,
        n_channels: 1,
    };
    let mut bytes = wav_bytes(spec, &samples);
    bytes[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Stretches of sound in windows: where each begins and ends. Silence of less than `hold` is none.
fn stretches(samples: &[f32], hold: usize) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, window) in samples.chunks_exact(WINDOW).enumerate() {
        let power = window.iter().map(|x| x * x).sum::<f32>() / WINDOW as f32;
        if power < 0.001 {
            continue;
        }
        match found.last_mut() {
            Some((_, end)) if at <= *end + hold => *end = at + 1,
            _ => found.push((at, at + 1)),
        }
    }
    found
}

/// The frequency of a tone, from where it crosses zero.
fn frequency(samples: &[f32]) -> f32 {
    let crossings = samples
        .windows(2)
        .filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0);
    crossings.count() as f32 * RATE_HZ as f32 / samples.len() as f32
}

#[test]
fn what_a_program_writes_is_heard_whole() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mic) = VirtualMic::start() else {
        return;
    };
    let wav = tone(mic.folder.path(), "tone.wav", 1.0);
    let recording = Recording::start(&mic);
    let mut talker = Talker::new(&mic, &wav, "default");
    // A busy machine may make the sound server late.
    let mut seen = Vec::new();
    for _ in 0..3 {
        recording.forget();
        talker.tell("say");
        talker.tell("wait");
        assert_eq!(talker.ended(), "Whole");
        // What was said to be heard is; the recording comes a little later.
        recording.more(200);
        let heard = recording.heard();
        let stretches = stretches(&heard, 0);
        seen.push(stretches.clone());
        let [(begin, end)] = stretches[..] else {
            continue;
        };
        // Windows of 10 ms.
        if (end - begin).abs_diff(100) > 10 {
            continue;
        }
        let inner = &heard[(begin + 5) * WINDOW..(end - 5) * WINDOW];
        let f_hz = frequency(inner);
        assert!((f_hz - TONE_HZ).abs() < 5.0, "{f_hz} Hz");
        let loudest = inner.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        assert!((0.2..0.3).contains(&loudest), "level {loudest}");
        return;
    }
    panic!("the tone did not arrive whole: {seen:?}");
}

#[test]
fn silence_is_heard_soon() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mic) = VirtualMic::start() else {
        return;
    };
    let wav = tone(mic.folder.path(), "tone.wav", 30.0);
    let recording = Recording::start(&mic);
    let mut talker = Talker::new(&mic, &wav, "default");
    let mut late = Vec::new();
    for _ in 0..3 {
        recording.forget();
        talker.tell("say");
        talker.tell("say");
        recording.until("it speaks", |samples| {
            stretches(samples, 5)
                .iter()
                .any(|(begin, end)| end - begin > 30)
        });
        let asked = recording.heard().len() / WINDOW;
        talker.tell("silence");
        talker.tell("wait");
        for _text in 0..2 {
            assert_eq!(talker.ended(), "Silenced");
        }
        recording.more(500);
        let last = stretches(&recording.heard(), 5).last().unwrap().1;
        late.push((last - asked.min(last)) * 10);
        if late.last().is_some_and(|&ms| ms <= 200) {
            return;
        }
    }
    panic!("it went on for so many ms: {late:?}");
}

#[test]
fn sentences_follow_each_other() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mic) = VirtualMic::start() else {
        return;
    };
    let wav = tone(mic.folder.path(), "tone.wav", 0.5);
    let recording = Recording::start(&mic);
    let mut talker = Talker::new(&mic, &wav, "default");
    let mut seen = Vec::new();
    for _ in 0..3 {
        recording.forget();
        talker.tell("say");
        talker.tell("say");
        talker.tell("wait");
        for _text in 0..2 {
            assert_eq!(talker.ended(), "Whole");
        }
        recording.more(200);
        let stretches = stretches(&recording.heard(), 2);
        seen.push(stretches.clone());
        let [(a, b), (c, d)] = stretches[..] else {
            continue;
        };
        if (b - a).abs_diff(50) <= 10 && (d - c).abs_diff(50) <= 10 && c - b < 40 {
            return;
        }
    }
    panic!("not two sentences: {seen:?}");
}

#[test]
fn a_device_that_is_not_there_is_an_error_until_it_is() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mic) = VirtualMic::start() else {
        return;
    };
    let wav = tone(mic.folder.path(), "tone.wav", 0.3);
    let say = |talker: &mut Talker| {
        talker.tell("say");
        talker.tell("wait");
        talker.ended()
    };
    let error = say(&mut Talker::new(&mic, &wav, "no such device"));
    assert!(
        error.contains("no audio output device matches `no such device`"),
        "{error}"
    );
    assert!(error.contains("[speech]"), "{error}");

    let mut talker = Talker::new(&mic, &wav, "default");
    assert_eq!(say(&mut talker), "Whole");
    // With the device open, and again without.
    mic.run(&["stop"]);
    let error = say(&mut talker);
    assert!(
        error.contains("audio device") || error.contains("output device"),
        "{error}"
    );
    assert!(mic.script(&["start"]).output().unwrap().status.success());
    assert_eq!(say(&mut talker), "Whole");
}

#[test]
fn outputs_are_listed_and_checked() {
    let _alone = ONE_AT_A_TIME.lock();
    let Some(mic) = VirtualMic::start() else {
        return;
    };
    let hark = |args: &[&str]| {
        let output = command(args)
            .envs(mic.environment.iter().cloned())
            .output()
            .unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status)
    };
    let (listed, status) = hark(&["devices", "--outputs", "--json"]);
    assert!(status.success());
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["id"], "default", "{listed:#}");
    assert_eq!(listed[0]["default"], true);
    let (text, _) = hark(&["devices"]);
    let (inputs, outputs) = text
        .split_once("\noutputs, for [speech] device:\n")
        .unwrap();
    assert!(inputs.contains("vmic"), "{text}");
    assert!(outputs.starts_with("* "), "{text}");
    // The shape of the microphones' list is as before.
    let (inputs, _) = hark(&["devices", "--json"]);
    let inputs: Vec<serde_json::Value> = serde_json::from_str(&inputs).unwrap();
    assert!(inputs.iter().all(|input| input["formats"].is_array()));

    let path = mic.folder.path().join("config.toml");
    for (device, state) in [("default", "ok"), ("nowhere", "fail")] {
        let config = format!("[speech]\noutput = 'wav'\nprogram = 'cat'\ndevice = '{device}'\n");
        std::fs::write(&path, config).unwrap();
        let (report, _) = hark(&["doctor", "--json", "--config", arg(&path)]);
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == "output");
        assert_eq!(check.unwrap()["state"], state, "{report:#}");
    }
}
