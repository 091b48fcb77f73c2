//! `hark transcribe --live`: recordings to events, through the stages of live captions.

use super::live::{Feed, Work};
use super::output::report::Format;
use super::output::{Out, json};
use super::setup::Setup;
use super::signals::{self, OnSignal};
use super::transcribe::{Args, one_by_one};
use super::{Failure, Globals};
use crate::audio::SourceSpec;
use crate::daemon::Flow;
use crate::error::Kind;
use crate::event::Event;
use crate::pipeline::Act;
use crate::whisper::Task;

/// One recording after the other, as fast as it goes. One that cannot be read is reported, and the
/// others go on.
pub(super) fn run(
    args: &Args,
    sources: &[(String, SourceSpec)],
    globals: &Globals,
) -> Result<(), Failure> {
    if args.format != Some(Format::Jsonl) {
        let message = "--live gives events, which are JSON lines: add --format jsonl";
        return Err(Failure::new(Kind::Usage, message));
    }
    let signals = OnSignal::watch(signals::INTERRUPTED)?;
    let setup = Setup::load(globals)?;
    let mut settings = setup.caption_settings(args.language.as_deref());
    if args.translate {
        settings.options.task = Task::Translate;
    }
    if let Some(beam) = args.beam {
        settings.options.beam = usize::from(beam);
    }
    let model = setup.model()?;
    let stop = signals.begin();
    let mut out = Out::stdout();
    one_by_one(sources, stop, |_, name, spec| {
        let mut written = Ok(());
        let mut sink = |event: Event| {
            written = out.line(&json::event_of(name, &event));
            match written.is_ok() {
                true => Flow::Go,
                false => Flow::Stop,
            }
        };
        let source = crate::audio::open(spec).map_err(Failure::from);
        let worked = source.and_then(|source| {
            let work = Work {
                source,
                feed: Feed::Direct(Act::Report),
                settings: &settings,
                model: &model,
                stop,
            };
            work.run(&mut sink)
        });
        written?;
        worked
    })
}
