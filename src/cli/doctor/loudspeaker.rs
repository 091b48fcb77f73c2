//! What hark plays itself, where the configuration wants that: the output device, and short sounds.

use std::time::Duration;

use super::report::Check;
use super::within;
use crate::audio::{AudioError, CaptureFormat, Clip, DeviceInfo, PlaybackConfig, output_device};
use crate::cli::Failure;
use crate::config::Config;
use crate::error::Kind;
use crate::speech::Cue;

/// A sound system that takes longer has a problem.
const LONGEST: Duration = Duration::from_secs(3);

const OUTPUT: &str = "output";

/// The device and the sounds; nothing where hark plays nothing.
pub(super) fn checks(config: &Config) -> Vec<Check> {
    let speech = &config.speech;
    if !speech.plays() {
        return Vec::new();
    }
    let playback = PlaybackConfig {
        device: speech.device.clone(),
    };
    let found = within(LONGEST, move || output_device(&playback));
    let mut checks = vec![judged(found)];
    for (key, cue) in speech.cues.all() {
        if let Cue::File(path) = cue
            && let Err(error) = Clip::read(path)
        {
            let advice = format!("set speech.{key} to a short WAV file, to \"tone\" or to \"\"");
            checks.push(Check::warn(key, error.to_string(), advice));
        }
    }
    checks
}

fn judged(found: Option<Result<DeviceInfo, AudioError>>) -> Check {
    match found {
        Some(Ok(device)) => {
            let format = device.default_format.as_ref();
            let format = format.map_or_else(String::new, CaptureFormat::to_string);
            Check::ok(OUTPUT, format!("{}: {format}", device.name))
        }
        Some(Err(error)) => {
            let advice = match error {
                AudioError::UnknownOutput { .. } => {
                    "set speech.device to a name that `hark devices --outputs` lists, or to \
                     \"default\""
                }
                AudioError::NoOutputSupport => {
                    "build with the feature `mic`, or set speech.output to \"program\" and no sounds"
                }
                _ => "see that no other program holds the output, and that this user may use it",
            };
            Check::failed(OUTPUT, &Failure::from(error), advice)
        }
        None => Check::fail(
            OUTPUT,
            Kind::Device,
            format!(
                "the sound system does not answer within {} s",
                LONGEST.as_secs()
            ),
            "restart the sound server (PipeWire or PulseAudio), or the machine",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;
    use crate::speech::Output;

    #[test]
    fn what_plays_nothing_needs_no_output() {
        let mut config = Config::default();
        assert!(checks(&config).is_empty());
        // Without a program there is nothing to play either.
        config.speech.program = String::new();
        config.speech.output = Output::Wav;
        assert!(checks(&config).is_empty());
    }

    #[test]
    fn a_missing_output_says_what_to_do() {
        let name = "nothing".to_owned();
        let check = judged(Some(Err(AudioError::UnknownOutput { name })));
        assert_eq!(check.state, State::Fail);
        assert!(
            check
                .advice
                .is_some_and(|advice| advice.contains("--outputs"))
        );
        assert_eq!(judged(None).state, State::Fail);
    }
}
