//! Recordings to measure with: which ones, what is meant in them, and noise to add.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};
use serde::Deserialize;

use super::Failure;
use super::manifest::Manifest;
use super::mixture::{MixArgs, Mixture};
use crate::audio;
use crate::command::calibrate::Fit;
use crate::command::{Match, Matcher};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::error::Kind;

/// Endings of recordings in folders.
const ENDINGS: [&str; 5] = ["flac", "wav", "mp3", "ogg", "m4a"];

/// Every other speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Speakers {
    /// The 1st, 3rd, 5th, …
    Odd,
    /// The 2nd, 4th, 6th, …
    Even,
}

/// Which recordings, and which commands are meant in them.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct LabelArgs {
    #[command(flatten)]
    table: TableArgs,
    /// What is said in a recording without a label is in column `reference`: if that is a command word
    /// for word, it is the one meant
    #[arg(long, requires = "labels")]
    references: bool,
}

/// Which recordings, and a table that tells of them.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct TableArgs {
    /// Table with columns `file` (relative to it) and `labels` or `reference`, separated by tabs
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Only recordings with one of these values in this column of the table; may be repeated
    #[arg(long = "where", value_name = "COLUMN=VALUE,...", requires = "labels")]
    #[arg(value_parser = filter)]
    filters: Vec<Filter>,
    /// Only every other speaker of the table (column `speaker`, in alphabetical order): calibrate on
    /// some, score on the others. Recordings without a speaker stay
    #[arg(long, value_enum, requires = "labels")]
    speakers: Option<Speakers>,
}

/// Noise to add.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct NoiseArgs {
    /// Recording that is added to every other one
    #[arg(long, value_name = "FILE", requires = "snr")]
    noise: Option<PathBuf>,
    /// How much louder than it the recordings are, in decibels; one run for each
    #[arg(
        long,
        value_name = "DB",
        value_parser = decibels,
        value_delimiter = ',',
        allow_hyphen_values = true,
        requires = "noise"
    )]
    snr: Vec<f64>,
}

/// `column=value,value`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    column: String,
    values: Vec<String>,
}

fn filter(text: &str) -> Result<Filter, String> {
    let (column, values) = text
        .split_once('=')
        .filter(|(column, _)| !column.is_empty())
        .ok_or_else(|| "write COLUMN=VALUE, such as speaker=anna,tom".to_owned())?;
    Ok(Filter {
        column: column.trim().to_owned(),
        values: values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect(),
    })
}

fn decibels(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|db| (-60.0..=120.0).contains(db));
    number.ok_or_else(|| "decibels are a number from -60 to 120".to_owned())
}

/// What a label says; others, of readings that were joined for instance, name no command.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(crate) struct Label {
    /// The command.
    pub(crate) intent: String,
    /// Its slots and no others.
    #[serde(default)]
    pub(crate) slots: BTreeMap<String, String>,
}

impl Label {
    /// How a command that was understood fits the one that was meant.
    pub(crate) fn fit(&self, name: &str, slots: &BTreeMap<String, String>) -> Fit {
        if name != self.intent {
            Fit::Other
        } else if given(slots) == given(&self.slots) {
            Fit::Meant
        } else {
            Fit::OtherSlots
        }
    }
}

/// Slots that have a value; spaces around it do not count.
pub(crate) fn given(slots: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let said = slots
        .iter()
        .map(|(slot, value)| (slot.as_str(), value.trim()));
    said.filter(|(_, value)| !value.is_empty()).collect()
}

/// A recording and the command that is meant in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clip {
    pub(crate) file: PathBuf,
    pub(crate) label: Option<Label>,
    /// What it is mixed from, when it is no file.
    mixture: Option<Mixture>,
}

impl Clip {
    fn new(file: PathBuf, label: Option<Label>) -> Self {
        Clip {
            file,
            label,
            mixture: None,
        }
    }

    /// The recording, at 16 kHz.
    pub(crate) fn samples(&self) -> Result<Vec<f32>, Failure> {
        match &self.mixture {
            Some(mixture) => mixture.samples(),
            None => Ok(audio::decode_file(&self.file)?),
        }
    }
}

/// Adds what `args` asks to be mixed from those of `clips` in which no command is meant.
pub(crate) fn add_mixtures(clips: &mut Vec<Clip>, args: &MixArgs) {
    let others = clips.iter().filter(|clip| clip.label.is_none());
    let files: Vec<&Path> = others.map(|clip| clip.file.as_path()).collect();
    let pieces = args.pieces(&files).into_iter();
    clips.extend(pieces.map(|(file, mixture)| Clip {
        mixture: Some(mixture),
        ..Clip::new(file, None)
    }));
}

/// What is meant in a recording, by the table.
type Labelling<'a> = dyn Fn(&Path, &Manifest) -> Result<Option<Label>, Failure> + 'a;

impl LabelArgs {
    /// The recordings at `paths`, those in folders by name; `matcher` understands references.
    pub(crate) fn clips(&self, paths: &[PathBuf], matcher: &Matcher) -> Result<Vec<Clip>, Failure> {
        self.table
            .labelled(paths, &|file, manifest| self.label(file, manifest, matcher))
    }

    /// The recordings at `paths`, in which no command is meant, of the chosen speakers.
    pub(crate) fn without_commands(&self, paths: &[PathBuf]) -> Result<Vec<Clip>, Failure> {
        let mut files = files(paths)?;
        if let Some(path) = &self.table.labels {
            let manifest = Manifest::read(path)?;
            let speakers = self.table.chosen_speakers(&manifest)?;
            files.retain(|file| speaks(file, &manifest, speakers.as_ref()));
        }
        Ok(unlabelled(files))
    }

    fn label(
        &self,
        file: &Path,
        manifest: &Manifest,
        matcher: &Matcher,
    ) -> Result<Option<Label>, Failure> {
        // Other labels tell of other things.
        let text = manifest.labels(file).filter(|text| text.starts_with('{'));
        if let Some(text) = text {
            let label = serde_json::from_str(text).map_err(|error| {
                let message = format!("the label of {} is unusable: {error}", file.display());
                Failure::new(Kind::Input, message)
            })?;
            return Ok(Some(label));
        }
        let reference = manifest.reference(file).filter(|_| self.references);
        Ok(reference.and_then(|text| said_in(text, matcher)))
    }
}

impl TableArgs {
    /// The recordings at `paths`, those in folders by name, with what `meant` makes of their
    /// references.
    pub(crate) fn clips_saying(
        &self,
        paths: &[PathBuf],
        meant: &dyn Fn(&str) -> Option<Label>,
    ) -> Result<Vec<Clip>, Failure> {
        self.labelled(paths, &|file, manifest| {
            manifest.values_of("reference")?;
            Ok(manifest.reference(file).and_then(meant))
        })
    }

    fn labelled(&self, paths: &[PathBuf], label: &Labelling<'_>) -> Result<Vec<Clip>, Failure> {
        let files = files(paths)?;
        let Some(path) = &self.labels else {
            return Ok(unlabelled(files));
        };
        let manifest = Manifest::read(path)?;
        for filter in &self.filters {
            manifest.values_of(&filter.column)?;
        }
        let speakers = self.chosen_speakers(&manifest)?;
        let mut clips = Vec::new();
        for file in files {
            if self.is_wanted(&file, &manifest, speakers.as_ref()) {
                let label = label(&file, &manifest)?;
                clips.push(Clip::new(file, label));
            }
        }
        Ok(clips)
    }

    fn chosen_speakers<'m>(
        &self,
        manifest: &'m Manifest,
    ) -> Result<Option<BTreeSet<&'m str>>, Failure> {
        let Some(speakers) = self.speakers else {
            return Ok(None);
        };
        let first = match speakers {
            Speakers::Odd => 0,
            Speakers::Even => 1,
        };
        let all = manifest.values_of("speaker")?.into_iter();
        Ok(Some(all.skip(first).step_by(2).collect()))
    }

    fn is_wanted(
        &self,
        file: &Path,
        manifest: &Manifest,
        speakers: Option<&BTreeSet<&str>>,
    ) -> bool {
        let has = |filter: &Filter| {
            let value = manifest.value(file, &filter.column).unwrap_or_default();
            filter.values.iter().any(|wanted| wanted == value)
        };
        speaks(file, manifest, speakers) && self.filters.iter().all(has)
    }
}

/// Whether a recording is of one of `speakers`, or of nobody known.
fn speaks(file: &Path, manifest: &Manifest, speakers: Option<&BTreeSet<&str>>) -> bool {
    let speaker = manifest.value(file, "speaker");
    let both = speakers.zip(speaker);
    both.is_none_or(|(speakers, speaker)| speakers.contains(speaker))
}

/// The command that `text` is word for word.
fn said_in(text: &str, matcher: &Matcher) -> Option<Label> {
    match matcher.match_text(text) {
        Match::Accepted {
            name, slots, score, ..
        } if score >= 0.0 => Some(Label {
            intent: name,
            slots,
        }),
        _ => None,
    }
}

/// Recordings in which no command is meant.
fn unlabelled(files: Vec<PathBuf>) -> Vec<Clip> {
    let clip = |file| Clip::new(file, None);
    files.into_iter().map(clip).collect()
}

/// The recordings at `paths`, those in folders by name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::new(Kind::Input, message)
        };
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            let ending = file.extension().and_then(|e| e.to_str());
            if ENDINGS.contains(&ending.unwrap_or_default()) {
                inside.push(file);
            }
        }
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

/// The complaint that there is nothing to measure with.
pub(crate) fn none() -> Failure {
    let endings = ENDINGS.map(|ending| format!(".{ending}")).join(", ");
    let message = format!("no recordings there: name files, or folders with {endings}");
    Failure::new(Kind::Input, message)
}

/// A recording that is added to others.
pub(crate) struct Noise {
    samples: Vec<f32>,
    /// How much louder the others are, in decibels.
    snr_db: Vec<f64>,
}

impl NoiseArgs {
    /// Reads it, if there is any.
    pub(crate) fn read(&self) -> Result<Option<Noise>, Failure> {
        let samples = self.noise.as_deref().map(audio::decode_file).transpose()?;
        Ok(samples.map(|samples| Noise {
            samples,
            snr_db: self.snr.clone(),
        }))
    }
}

impl Noise {
    /// How much louder the others are, in decibels, one run for each.
    pub(crate) fn snr_db(&self) -> &[f64] {
        &self.snr_db
    }

    /// Adds it to `samples`, from another place for each recording, `snr_db` quieter than them.
    pub(crate) fn add_to(&self, samples: &mut [f32], snr_db: f64, index: usize) {
        let power = |samples: &[f32]| {
            let sum: f64 = samples.iter().map(|x| f64::from(*x).powi(2)).sum();
            sum / samples.len().max(1) as f64
        };
        let from = (index * 7 * SAMPLE_RATE_HZ as usize) % self.samples.len().max(1);
        let endless = self.samples.iter().cycle().skip(from);
        let part: Vec<f32> = endless.take(samples.len()).copied().collect();
        let gain = (power(samples) / power(&part).max(1e-12) / 10f64.powf(snr_db / 10.0)).sqrt();
        for (x, n) in samples.iter_mut().zip(part) {
            *x += n * gain as f32;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::command::{CommandSpec, Grammar, GrammarSpec, MatchOptions, Sentence};

    #[test]
    fn noise_lies_as_far_below_as_asked() {
        let mut samples = vec![0.0; 16_000];
        samples[8_000..].fill(0.5);
        let clean = samples.clone();
        let noise = Noise {
            samples: vec![0.1, -0.1, 0.1],
            snr_db: vec![20.0],
        };
        noise.add_to(&mut samples, 20.0, 3);
        let power = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        let added: Vec<f32> = samples.iter().zip(&clean).map(|(a, b)| a - b).collect();
        let snr_db = 10.0 * (power(&clean) / power(&added)).log10();
        assert!((snr_db - 20.0).abs() < 0.1, "{snr_db}");
    }

    #[test]
    fn slots_must_be_the_meant_ones_and_no_others() {
        let label: Label =
            serde_json::from_str(r#"{"intent": "order", "slots": {"drink": " tea", "milk": ""}}"#)
                .unwrap();
        let fit = |name: &str, slots: &[(&str, &str)]| {
            let slots = slots
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            label.fit(name, &slots.collect())
        };
        assert_eq!(fit("order", &[("drink", "tea")]), Fit::Meant);
        assert_eq!(fit("order", &[("drink", "coffee")]), Fit::OtherSlots);
        let more = [("drink", "tea"), ("size", "small")];
        assert_eq!(fit("order", &more), Fit::OtherSlots);
        assert_eq!(fit("stop", &[("drink", "tea")]), Fit::Other);
    }

    /// A folder with five recordings, and the labels of four.
    fn chosen(args: &LabelArgs) -> Result<Vec<String>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let table = "file\tspeaker\treference\tlabels\n\
                     a.wav\tann\tStop!\t\n\
                     b.wav\tbob\tstop it\t{\"intent\": \"halt\"}\n\
                     c.wav\tcat\tno command\tt0=1\n\
                     d.wav\t\tstop\t\n";
        std::fs::write(folder.path().join("t.tsv"), table).unwrap();
        for name in ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav", "f.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let command = CommandSpec {
            name: "halt".to_owned(),
            sentences: vec![Sentence {
                template: "stop".to_owned(),
                ..Sentence::default()
            }],
            ..CommandSpec::default()
        };
        let spec = GrammarSpec {
            commands: vec![command],
            ..GrammarSpec::default()
        };
        let grammar = Grammar::compile(&spec, &mut Vec::new());
        let matcher = Matcher::new(grammar.into(), MatchOptions::default());
        let args = LabelArgs {
            table: TableArgs {
                labels: Some(folder.path().join("t.tsv")),
                filters: args.table.filters.clone(),
                ..args.table
            },
            ..*args
        };
        let clips = args.clips(&[folder.path().to_owned()], &matcher)?;
        let told = |clip: &Clip| {
            let name = clip.file.file_stem().unwrap().to_string_lossy();
            let meant = clip.label.as_ref().map_or("-", |label| &label.intent);
            format!("{name} {meant}")
        };
        Ok(clips.iter().map(told).collect())
    }

    #[test]
    fn recordings_are_chosen_and_labelled_by_the_table() {
        let all = LabelArgs::default();
        assert_eq!(
            chosen(&all).unwrap(),
            ["a -", "b halt", "c -", "d -", "e -"]
        );
        let references = LabelArgs {
            references: true,
            ..LabelArgs::default()
        };
        let expected = ["a halt", "b halt", "c -", "d halt", "e -"];
        assert_eq!(chosen(&references).unwrap(), expected);
        let table = |table| LabelArgs {
            table,
            references: false,
        };
        let of = |speakers| {
            table(TableArgs {
                speakers: Some(speakers),
                ..TableArgs::default()
            })
        };
        assert_eq!(
            chosen(&of(Speakers::Odd)).unwrap(),
            ["a -", "c -", "d -", "e -"]
        );
        assert_eq!(
            chosen(&of(Speakers::Even)).unwrap(),
            ["b halt", "d -", "e -"]
        );
        let with = |text: &str| {
            table(TableArgs {
                filters: vec![filter(text).unwrap()],
                ..TableArgs::default()
            })
        };
        assert_eq!(chosen(&with("speaker=bob,cat")).unwrap(), ["b halt", "c -"]);
        let error = chosen(&with("speeker=bob")).unwrap_err().to_string();
        assert!(error.contains("no column speeker"), "{error}");
        assert!(filter("speaker").is_err());
    }
}
