//! The pipeline fed directly: however the sound is cut into pieces, commands and captions are the same.

#![allow(clippy::unwrap_used)]

mod support;

use hark::audio::decode_file;
use hark::config::Config;
use hark::format::WhisperFile;
use hark::kernels::{Cpu, Exec};
use hark::nn::Compute;
use hark::pipeline::{Act, Commands, Pipeline, Settings};
use hark::whisper::Model;
use support::program::recording;
use support::random::Random;
use support::root;

/// Two orders with a pause between them in which the first ends.
fn orders() -> Vec<f32> {
    let order = |name: &str| decode_file(recording(name)).unwrap();
    let first = order("command/command_en_0003.flac");
    let is_loud = |x: &f32| x.abs() > 0.02;
    let end = first.iter().rposition(is_loud).unwrap();
    let pause = vec![0.0; 16_000];
    [
        &first[..end],
        &pause,
        &order("command/command_en_0045.flac"),
        &pause,
    ]
    .concat()
}

#[test]
fn any_cut_of_the_sound_gives_the_same_events() {
    let Some(path) = support::model("tiny.en") else {
        return;
    };
    let exec = Exec::new(Cpu::from_env().unwrap(), 2);
    let file = WhisperFile::open(&path).unwrap();
    let model = Model::load(&file, exec, Compute::Int8).unwrap();
    let config = Config::load(Some(&root().join("examples/coffee.toml"))).unwrap();
    let settings = Settings {
        commands: Some(Commands::new(&config.commands, &config.dialogue)),
        ..Settings::default()
    };
    let samples = orders();
    let events = |mut piece: Box<dyn FnMut() -> usize>| {
        let mut lines = Vec::new();
        let mut sink = |event| lines.push(serde_json::to_string(&event).unwrap());
        let mut pipeline = Pipeline::new(&settings, &model, Act::Report).unwrap();
        let mut left = &samples[..];
        while !left.is_empty() {
            let (piece, after) = left.split_at(piece().min(left.len()));
            pipeline.push(piece, &mut sink);
            left = after;
        }
        pipeline.flush(&mut sink);
        lines
    };
    let whole = events(Box::new(|| usize::MAX));
    let orders = whole.iter().filter(|line| line.contains("\"command\""));
    assert_eq!(orders.count(), 2, "{whole:#?}");
    let mut random = Random::new(1);
    let cuts: [Box<dyn FnMut() -> usize>; 3] = [
        Box::new(|| 1),
        Box::new(|| 511),
        Box::new(move || 1 + random.below(6_000)),
    ];
    for cut in cuts {
        assert_eq!(events(cut), whole);
    }
}
