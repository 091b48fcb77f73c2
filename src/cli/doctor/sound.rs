//! Microphones: which there are, whether the configured one delivers, and whether it may.

use std::thread;
use std::time::{Duration, Instant};

use super::report::Check;
use super::within;
use crate::audio::{
    AudioError, CaptureConfig, CaptureFormat, DeviceInfo, Meter, Reading, ZEROS_ADVICE,
    list_devices,
};
use crate::cli::Failure;
use crate::cli::devices::level;
use crate::cli::setup::Setup;
use crate::error::Kind;

/// A sound system that takes longer has a problem.
const LISTING: Duration = Duration::from_secs(3);
/// The same for opening a device and its first sound.
const OPENING: Duration = Duration::from_millis(2_500);
/// How long is listened.
const LISTENED_S: u64 = 1;
const POLL: Duration = Duration::from_millis(10);

const DEVICES: &str = "devices";
const MICROPHONE: &str = "microphone";

/// What was found, and whether there is any device at all.
pub(super) struct Heard {
    pub(super) checks: Vec<Check>,
    pub(super) has_device: bool,
}

/// Lists the devices and listens to the configured one for a second.
pub(super) fn devices(setup: &Setup, daemon_runs: bool) -> Heard {
    let none = |check| Heard {
        checks: vec![check],
        has_device: false,
    };
    match within(LISTING, list_devices) {
        None => none(Check::fail(
            DEVICES,
            Kind::Device,
            format!(
                "the sound system does not answer within {} s",
                LISTING.as_secs()
            ),
            "restart the sound server (PipeWire or PulseAudio), or the machine",
        )),
        // Nothing is wrong: somebody has built it so.
        Some(Err(AudioError::NoMicSupport)) => none(Check::warn(
            DEVICES,
            "this build has no microphone support",
            "for a microphone, build with the feature `mic`; without, name a --source",
        )),
        Some(Err(error)) => {
            let advice = "start the sound server, or plug in a microphone";
            none(Check::failed(DEVICES, &Failure::from(error), advice))
        }
        Some(Ok(devices)) if devices.is_empty() => none(Check::fail(
            DEVICES,
            Kind::Device,
            "there is no microphone",
            "plug in a microphone, and see that `hark devices` lists it",
        )),
        Some(Ok(devices)) => {
            let config = setup.capture(&setup.config.audio.device);
            let microphone = listen(config, daemon_runs);
            Heard {
                checks: vec![Check::ok(DEVICES, listed(&devices)), microphone],
                has_device: true,
            }
        }
    }
}

/// The devices, each with the format that would be used.
fn listed(devices: &[DeviceInfo]) -> String {
    let each = devices.iter().map(|device| {
        let format = device.default_format.as_ref();
        let format = format.map_or("no usable format".to_owned(), CaptureFormat::to_string);
        let mark = if device.is_default { ", default" } else { "" };
        format!("{} ({format}{mark})", device.name)
    });
    each.collect::<Vec<_>>().join("; ")
}

/// A second of sound.
struct Second {
    name: String,
    format: CaptureFormat,
    reading: Reading,
}

fn listen(config: CaptureConfig, daemon_runs: bool) -> Check {
    let device = config.device.clone();
    let limit = OPENING + Duration::from_secs(LISTENED_S);
    // A little more, for a device that cannot even be opened.
    let heard = within(limit + OPENING / 4, move || second(&config, limit));
    match heard {
        Some(Ok(second)) if second.reading.n_frames > 0 => judged(&second),
        Some(Err(error)) if daemon_runs => {
            let found = format!("the running daemon holds it ({error})");
            Check::ok(MICROPHONE, found)
        }
        Some(Err(error)) => {
            let advice = match error {
                AudioError::UnknownDevice { .. } => {
                    "set audio.device to a name that `hark devices` lists, or to \"default\""
                }
                _ => {
                    "see that no other program holds the microphone, and that this user may use it"
                }
            };
            Check::failed(MICROPHONE, &Failure::from(error), advice)
        }
        Some(Ok(_)) | None => Check::fail(
            MICROPHONE,
            Kind::Device,
            format!("`{device}` delivers nothing within {} s", limit.as_secs()),
            "plug the microphone out and in, or restart the sound server",
        ),
    }
}

/// What comes until a second is full or `limit` is over.
fn second(config: &CaptureConfig, limit: Duration) -> Result<Second, AudioError> {
    let began = Instant::now();
    let mut meter = Meter::open(config)?;
    let n_wanted = LISTENED_S * u64::from(meter.format().rate_hz);
    let mut reading = Reading::default();
    while reading.n_frames < n_wanted && began.elapsed() < limit {
        if meter.take(n_wanted - reading.n_frames, &mut reading)? == 0 {
            thread::sleep(POLL);
        }
    }
    Ok(Second {
        name: meter.name().to_owned(),
        format: meter.format().clone(),
        reading,
    })
}

fn judged(second: &Second) -> Check {
    let Second {
        name,
        format,
        reading,
    } = second;
    let level = level(&reading.loudness);
    let found = format!("{name}: {format}, {level}");
    if reading.n_nonzero == 0 {
        let found = format!("{name}: {format}, nothing but zeros");
        return Check::warn(
            MICROPHONE,
            found,
            format!("the microphone is silent: {ZEROS_ADVICE}"),
        );
    }
    if reading.n_clipped_by_gain > 0 {
        return Check::warn(
            MICROPHONE,
            found,
            "lower audio.gain_db: it takes sound beyond full scale",
        );
    }
    if reading.n_clipped > 0 {
        let advice = "lower the level of the microphone in the sound settings: it is at full scale";
        return Check::warn(MICROPHONE, found, advice);
    }
    Check::ok(MICROPHONE, found)
}

/// Whether this user may use sound hardware directly; none where that does not matter.
#[cfg(target_os = "linux")]
pub(super) fn permissions(has_device: bool) -> Option<Check> {
    const NAME: &str = "permissions";
    let snd = std::path::Path::new("/dev/snd");
    let nodes: Vec<_> = std::fs::read_dir(snd).ok()?.flatten().collect();
    let captures = nodes.iter().filter(|node| {
        let name = node.file_name().to_string_lossy().into_owned();
        name.starts_with("pcm") && name.ends_with('c')
    });
    let may = |path: &std::path::Path| {
        use rustix::fs::Access;
        rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
    };
    let captures: Vec<_> = captures.map(|node| node.path()).collect();
    let n_allowed = captures.iter().filter(|path| may(path)).count();
    let n_captures = captures.len();
    match (n_captures, n_allowed, has_device) {
        (0, _, _) => None,
        (n, allowed, _) if n == allowed => Some(Check::ok(
            NAME,
            format!("may record from /dev/snd ({n} inputs)"),
        )),
        (.., true) => Some(Check::ok(
            NAME,
            "may not record from /dev/snd itself; the sound server does",
        )),
        (n, allowed, false) => Some(Check::fail(
            NAME,
            Kind::Device,
            format!(
                "may record from {allowed} of {n} inputs in /dev/snd{}",
                membership()
            ),
            "let this user record: sudo usermod -aG audio $USER, then log in again",
        )),
    }
}

/// Elsewhere the system asks when a program listens, and silence is its no.
#[cfg(not(target_os = "linux"))]
pub(super) fn permissions(_has_device: bool) -> Option<Check> {
    None
}

/// Whether this user is in the group `audio`, in words.
#[cfg(target_os = "linux")]
fn membership() -> &'static str {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let audio = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_audio = fields.next() == Some("audio");
        let number = fields.nth(1)?;
        is_audio.then(|| number.parse::<u32>().ok()).flatten()
    });
    let own = rustix::process::getgroups().unwrap_or_default();
    let is_member = audio.is_some_and(|audio| own.iter().any(|group| group.as_raw() == audio));
    match is_member {
        true => ", though in the group `audio`",
        false => ", not being in the group `audio`",
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;

    fn judge(change: impl FnOnce(&mut Reading)) -> Check {
        let mut reading = Reading {
            n_frames: 48_000,
            n_nonzero: 48_000,
            ..Reading::default()
        };
        reading.loudness.add(&[0.1, -0.1]);
        change(&mut reading);
        judged(&Second {
            name: "mic".to_owned(),
            format: CaptureFormat {
                rate_hz: 48_000,
                n_channels: 1,
                sample_format: "i16".to_owned(),
                buffer_frames: None,
            },
            reading,
        })
    }

    #[test]
    fn a_second_of_sound_is_judged() {
        let well = judge(|_| {});
        assert_eq!(well.state, State::Ok);
        assert_eq!(
            well.found,
            "mic: 48000 Hz, 1 channel, i16, -20.0 dB, peak -20.0 dB"
        );
        assert!(
            judge(|r| r.n_nonzero = 0)
                .found
                .contains("nothing but zeros")
        );
        let gain = judge(|r| r.n_clipped_by_gain = 5).advice;
        assert!(gain.is_some_and(|advice| advice.contains("gain_db")));
        assert_eq!(judge(|r| r.n_clipped = 5).state, State::Warn);
    }
}
