//! Cuts a stream of samples into utterances: windows, judged by the detector, for the cutter.
//!
//! Enters: samples in pieces of any length. Leaves: for each utterance its start, its audio
//! (pre-roll first) as it comes in, and its end, all on the sample clock. The pieces depend on
//! the samples alone, not on how they were split. Nothing is allocated after construction.

use super::WINDOW_SAMPLES;
use super::cutter::{Cutter, Piece};
use super::endpoint::EndpointConfig;
use super::silero::Vad;
use crate::kernels::Cpu;

/// Quiet windows the detector hears in a row before it is left alone, so that its state has
/// settled on silence (about a second).
const SETTLE_WINDOWS: u32 = 32;

/// How utterances are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmenterConfig {
    /// When an utterance begins and ends.
    pub endpoint: EndpointConfig,
    /// Windows whose power lies below this level, in decibels relative to a full-scale square
    /// wave, are silence without asking the detector, and so is steady noise of any level in which
    /// it has found nothing; none: it is always asked.
    pub gate_dbfs: Option<f32>,
    /// Silence within an utterance that is told as a pause, milliseconds; 0: none is.
    pub pause_ms: u32,
}

impl Default for SegmenterConfig {
    fn default() -> Self {
        SegmenterConfig {
            endpoint: EndpointConfig::default(),
            gate_dbfs: Some(-80.0),
            pause_ms: 0,
        }
    }
}

/// Detector and cutter of one stream.
pub struct Segmenter {
    vad: Vad,
    cutter: Cutter,
    gate: Gate,
    /// Samples of the window not yet complete.
    window: [f32; WINDOW_SAMPLES],
    n_filled: usize,
    /// The last probability of speech.
    probability: f32,
}

impl Segmenter {
    /// A segmenter at sample 0 that has heard nothing.
    pub fn new(cpu: Cpu, config: SegmenterConfig) -> Self {
        Segmenter {
            vad: Vad::new(cpu),
            cutter: Cutter::new(config.endpoint, config.pause_ms),
            gate: Gate::new(config.gate_dbfs),
            window: [0.0; WINDOW_SAMPLES],
            n_filled: 0,
            probability: 0.0,
        }
    }

    /// Takes `samples` and hands `sink` what they bring to light.
    pub fn push(&mut self, mut samples: &[f32], sink: &mut dyn FnMut(Piece<'_>)) {
        while !samples.is_empty() {
            let n = samples.len().min(WINDOW_SAMPLES - self.n_filled);
            self.window[self.n_filled..self.n_filled + n].copy_from_slice(&samples[..n]);
            self.n_filled += n;
            samples = &samples[n..];
            if self.n_filled == WINDOW_SAMPLES {
                self.judge_window(sink);
                self.n_filled = 0;
            }
        }
    }

    /// Ends the audio: judges the last, incomplete window with silence after it and ends the
    /// utterance, if there is one. The clock then stands at the sample after the last one.
    pub fn flush(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        let end = self.now_samples();
        if self.n_filled > 0 {
            self.window[self.n_filled..].fill(0.0);
            self.judge_window(sink);
        }
        self.cutter.flush(end, sink);
        self.reset(end);
    }

    /// `n_samples` were lost: ends the utterance, if there is one, and moves the clock on.
    pub fn gap(&mut self, n_samples: u64, sink: &mut dyn FnMut(Piece<'_>)) {
        self.flush(sink);
        self.reset(self.now_samples() + n_samples);
    }

    /// Forgets everything heard; the next sample is number `at_sample`.
    pub fn reset(&mut self, at_sample: u64) {
        self.vad.reset();
        self.cutter.reset(at_sample);
        self.gate.reset();
        self.n_filled = 0;
        self.probability = 0.0;
    }

    /// Samples taken so far, lost ones included: the number of the next sample.
    pub fn now_samples(&self) -> u64 {
        self.cutter.now_samples() + self.n_filled as u64
    }

    /// The probability of speech in the last complete window.
    pub fn probability(&self) -> f32 {
        self.probability
    }

    /// Whether an utterance has started and not ended.
    pub fn is_speaking(&self) -> bool {
        self.cutter.is_speaking()
    }

    /// Judges the window, of which the first `n_filled` samples are real.
    fn judge_window(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        let before = self.probability;
        self.probability = self.gate.judge(&self.window, before, &mut self.vad);
        let samples = &self.window[..self.n_filled];
        self.cutter.push(samples, self.probability, sink);
    }
}

/// A window of at most so many times the power of the quietest one of late is the room's own noise: 2
/// dB. Windows of steady noise differ by less, and speech that adds less is none to the detector.
const ROOM: f32 = 1.6;
/// Part of the sample before that is taken off each for that comparison.
const PRE_EMPHASIS: f32 = 0.97;
/// Windows in which the quietest is looked for: four blocks of four seconds.
const BLOCK_WINDOWS: u32 = 128;
const N_BLOCKS: usize = 4;
/// Probability of speech from which a window is not taken for noise.
const UNLIKELY: f32 = 0.1;

/// Judges windows by their power before it troubles the detector.
struct Gate {
    /// Mean square below which a window is quiet; none: the detector is always asked.
    threshold: Option<f32>,
    floor: Floor,
    /// Quiet windows in a row.
    n_quiet: u32,
}

/// The power of the quietest window of late.
#[derive(Default)]
struct Floor {
    /// The quietest of each block, the present one first.
    quietest: [Option<f32>; N_BLOCKS],
    n_windows: u32,
}

impl Floor {
    /// The floor with this window; none before a block is full.
    fn push(&mut self, power: f32) -> Option<f32> {
        if self.n_windows == BLOCK_WINDOWS {
            self.n_windows = 0;
            self.quietest.rotate_right(1);
            self.quietest[0] = None;
        }
        self.n_windows += 1;
        let quietest = self.quietest[0].map_or(power, |known| known.min(power));
        self.quietest[0] = Some(quietest);
        self.quietest[1]?;
        self.quietest.iter().flatten().copied().reduce(f32::min)
    }
}

impl Gate {
    fn new(gate_dbfs: Option<f32>) -> Self {
        Gate {
            threshold: gate_dbfs.map(|db| 10_f32.powf(db / 10.0)),
            floor: Floor::default(),
            n_quiet: 0,
        }
    }

    fn reset(&mut self) {
        self.floor = Floor::default();
        self.n_quiet = 0;
    }

    /// Whether a window can be nothing but silence or the room's noise; `power` is its own.
    fn is_quiet(&mut self, window: &[f32; WINDOW_SAMPLES], power: f32, before: f32) -> bool {
        // Differences, so that hum, rumble and a constant offset cover no speech.
        let steps = window
            .windows(2)
            .map(|pair| pair[1] - PRE_EMPHASIS * pair[0]);
        let power_of_steps = steps.map(|x| x * x).sum::<f32>() / WINDOW_SAMPLES as f32;
        let floor = self.floor.push(power_of_steps);
        let is_room = floor.is_some_and(|floor| power_of_steps < ROOM * floor) && before < UNLIKELY;
        let is_silent = |threshold| power < threshold;
        self.threshold
            .is_some_and(|threshold| is_silent(threshold) || is_room)
    }

    /// The probability that `window` holds speech; `before` is that of the one before. After speech
    /// the detector hears the silence until its state has settled; only then is it left out.
    fn judge(&mut self, window: &[f32; WINDOW_SAMPLES], before: f32, vad: &mut Vad) -> f32 {
        let power = window.iter().map(|x| x * x).sum::<f32>() / WINDOW_SAMPLES as f32;
        if self.is_quiet(window, power, before) {
            self.n_quiet = self.n_quiet.saturating_add(1);
        } else {
            self.n_quiet = 0;
        }
        if self.n_quiet > SETTLE_WINDOWS {
            vad.skip(window);
            0.0
        } else {
            vad.push(window)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dsp::golden;
    use crate::vad::cutter::HINT_REACH_MS;
    use crate::vad::{EndCause, samples_from_ms};

    #[test]
    fn steady_noise_leaves_the_detector_alone_and_speech_does_not() {
        // Noise of the room at -50 dB, made by a generator of Numerical Recipes.
        let mut state = 1_u32;
        let mut noise = |n: usize| -> Vec<f32> {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            };
            (0..n).map(|_| next() * 0.01).collect()
        };
        let speech = golden::speech_a();
        let before = 20 * 16_000;
        let mut samples = noise(before + speech.len() + 32_000);
        for (sample, speech) in samples[before..].iter_mut().zip(&speech) {
            *sample += speech;
        }
        let config = SegmenterConfig::default();
        let mut segmenter = Segmenter::new(Cpu::detect(), config);
        let mut n_alone = 0;
        for window in samples[..before].chunks_exact(WINDOW_SAMPLES) {
            segmenter.push(window, &mut |_| panic!("noise is no speech"));
            n_alone += u32::from(segmenter.gate.n_quiet > SETTLE_WINDOWS);
        }
        // All but the first block and the time to settle.
        let n_windows = (before / WINDOW_SAMPLES) as u32;
        assert!(
            n_alone > n_windows - 2 * BLOCK_WINDOWS,
            "{n_alone} of {n_windows}"
        );
        // A cheap microphone: a constant offset, and hum much louder than the speech.
        for (i, sample) in samples.iter_mut().enumerate() {
            let hum = (i as f32 * std::f32::consts::TAU * 50.0 / 16_000.0).sin();
            *sample = 0.1 * *sample + 0.05 + 0.02 * hum;
        }
        let with = segment(config, &samples, &[samples.len()]);
        let always = SegmenterConfig {
            gate_dbfs: None,
            ..config
        };
        let without = segment(always, &samples, &[samples.len()]);
        let start = |said: &[Said]| match said.first() {
            Some(Said::Start(_, speech)) => *speech,
            other => panic!("{other:?}"),
        };
        assert_eq!(with.len(), without.len());
        // The detector begins with the state that it was left in; the audio from before the start
        // covers the difference.
        let covered_ms = config.endpoint.pre_roll_ms;
        assert!(start(&with).abs_diff(start(&without)) <= samples_from_ms(covered_ms));
    }

    /// An owned copy of a piece, consecutive audio joined.
    #[derive(Clone, Debug, PartialEq)]
    enum Said {
        Start(u64, u64),
        Audio(u64, Vec<f32>),
        Pause,
        Resume,
        End(u64, EndCause),
    }

    fn note(said: &mut Vec<Said>, piece: Piece<'_>) {
        match piece {
            Piece::Start {
                at_sample,
                speech_at_sample,
            } => {
                said.push(Said::Start(at_sample, speech_at_sample));
            }
            Piece::Audio {
                at_sample, samples, ..
            } => match said.last_mut() {
                Some(Said::Audio(begin, audio)) => {
                    assert_eq!(*begin + audio.len() as u64, at_sample, "audio has a gap");
                    audio.extend_from_slice(samples);
                }
                _ => said.push(Said::Audio(at_sample, samples.to_vec())),
            },
            Piece::Pause => said.push(Said::Pause),
            Piece::Resume => said.push(Said::Resume),
            Piece::End { at_sample, cause } => said.push(Said::End(at_sample, cause)),
        }
    }

    fn segment(config: SegmenterConfig, samples: &[f32], lengths: &[usize]) -> Vec<Said> {
        let mut segmenter = Segmenter::new(Cpu::detect(), config);
        let mut said = Vec::new();
        let (mut rest, mut lengths) = (samples, lengths.iter().cycle());
        while !rest.is_empty() {
            let n = lengths.next().map_or(rest.len(), |&n| n.min(rest.len()));
            segmenter.push(&rest[..n], &mut |piece| note(&mut said, piece));
            rest = &rest[n..];
        }
        segmenter.flush(&mut |piece| note(&mut said, piece));
        assert_eq!(segmenter.now_samples(), samples.len() as u64);
        said
    }

    /// Two utterances with two seconds of digital silence before, between and after.
    fn conversation() -> Vec<f32> {
        let silence = vec![0.0; 32_000];
        let (a, b) = (golden::speech_a(), golden::speech_b());
        [&silence[..], &a, &silence, &b, &silence].concat()
    }

    #[test]
    fn pauses_are_told_and_taken_back() {
        // Speech, a pause of 0.4 s, speech, and two seconds of silence.
        let (a, b) = (golden::speech_a(), golden::speech_b());
        let samples = [&a[..], &vec![0.0; 6_400], &b, &vec![0.0; 32_000]].concat();
        let config = SegmenterConfig {
            pause_ms: 200,
            ..SegmenterConfig::default()
        };
        let said = segment(config, &samples, &[samples.len()]);
        let mut in_pause = false;
        let mut n_pauses = 0;
        for piece in &said {
            match piece {
                Said::Pause => {
                    assert!(!in_pause);
                    (in_pause, n_pauses) = (true, n_pauses + 1);
                }
                Said::Resume => {
                    assert!(in_pause);
                    in_pause = false;
                }
                // Audio goes on in a pause; an utterance that ends in silence ends in one.
                Said::End(_, EndCause::Silence) => {
                    assert!(in_pause);
                    in_pause = false;
                }
                _ => {}
            }
        }
        assert!(n_pauses >= 2, "{n_pauses} pauses");
        let pieces = segment(config, &samples, &[1, 511, 700]);
        assert_eq!(pieces, said);
    }

    /// Start and end of each utterance; checks that its audio is that of `samples`.
    fn utterances(said: &[Said], samples: &[f32]) -> Vec<(u64, u64)> {
        assert_eq!(said.len() % 3, 0, "{said:?}");
        let mut found = Vec::new();
        for utterance in said.chunks_exact(3) {
            let [
                Said::Start(start, speech),
                Said::Audio(begin, audio),
                Said::End(end, _),
            ] = utterance
            else {
                panic!("out of order: {utterance:?}")
            };
            let begin = *begin as usize;
            assert_eq!(*start, begin as u64);
            assert!(start <= speech && *end <= (begin + audio.len()) as u64);
            assert!(
                audio[..] == samples[begin..begin + audio.len()],
                "other audio"
            );
            found.push((*start, *end));
        }
        found
    }

    #[test]
    fn finds_both_utterances_with_their_pre_roll() {
        let samples = conversation();
        let said = segment(SegmenterConfig::default(), &samples, &[]);
        let found = utterances(&said, &samples);
        assert_eq!(found.len(), 2, "{found:?}");
        let n_a = golden::speech_a().len() as u64;
        let (first, second) = (found[0], found[1]);
        assert!(
            first.0 >= 32_000 - 8000 && first.0 < 32_000 + 8000,
            "{found:?}"
        );
        assert!(
            first.1 > 32_000 + n_a / 2 && first.1 < 32_000 + n_a + 8000,
            "{found:?}"
        );
        assert!(second.0 >= 64_000 + n_a - 8000, "{found:?}");
        for piece in &said {
            if let Said::Start(at, speech) = piece {
                let longest = 8000 + samples_from_ms(HINT_REACH_MS);
                assert!((8000..=longest).contains(&(speech - at)), "{at} {speech}");
            }
        }
    }

    #[test]
    fn the_gate_changes_no_edge() {
        let samples = conversation();
        let ungated = SegmenterConfig {
            gate_dbfs: None,
            ..SegmenterConfig::default()
        };
        let expected = segment(ungated, &samples, &[]);
        assert_eq!(segment(SegmenterConfig::default(), &samples, &[]), expected);
    }

    #[test]
    fn the_gate_spares_the_detector_in_digital_silence_only() {
        let (mut gate, mut vad) = (Gate::new(Some(-80.0)), Vad::new(Cpu::detect()));
        let (silence, hum) = ([0.0; WINDOW_SAMPLES], [0.001; WINDOW_SAMPLES]);
        assert!(gate.judge(&hum, 0.0, &mut vad) > 0.0);
        for _ in 0..SETTLE_WINDOWS {
            assert!(gate.judge(&silence, 0.0, &mut vad) > 0.0);
        }
        assert_eq!(gate.judge(&silence, 0.0, &mut vad), 0.0);
        let mut off = Gate::new(None);
        for _ in 0..3 * SETTLE_WINDOWS {
            assert!(off.judge(&silence, 0.0, &mut vad) > 0.0);
        }
    }

    #[test]
    fn the_end_of_the_audio_ends_the_utterance() {
        let speech = golden::speech_a();
        let samples = &speech[..33_333];
        let said = segment(SegmenterConfig::default(), samples, &[]);
        let found = utterances(&said, samples);
        assert_eq!(found.len(), 1);
        assert!(matches!(
            said.last(),
            Some(Said::End(_, EndCause::EndOfAudio))
        ));
        let Said::Audio(begin, audio) = &said[1] else {
            panic!("no audio")
        };
        assert_eq!(*begin as usize + audio.len(), samples.len());
    }

    #[test]
    fn a_gap_ends_the_utterance_and_moves_the_clock() {
        let speech = golden::speech_a();
        let mut segmenter = Segmenter::new(Cpu::detect(), SegmenterConfig::default());
        let mut said = Vec::new();
        segmenter.push(&speech[..33_000], &mut |piece| note(&mut said, piece));
        segmenter.gap(1000, &mut |piece| note(&mut said, piece));
        assert!(matches!(
            said.last(),
            Some(Said::End(_, EndCause::EndOfAudio))
        ));
        assert_eq!(segmenter.now_samples(), 34_000);
        assert!(!segmenter.is_speaking());
        said.clear();
        segmenter.push(&speech, &mut |piece| note(&mut said, piece));
        let Some(Said::Start(at_sample, _)) = said.first() else {
            panic!("{said:?}")
        };
        assert!(*at_sample >= 34_000, "pre-roll reaches across the gap");
    }

    #[test]
    fn a_long_utterance_is_cut_without_loss() {
        let endpoint = EndpointConfig {
            max_speech_ms: 1500,
            cut_speech_ms: 1500,
            ..EndpointConfig::default()
        };
        let config = SegmenterConfig {
            endpoint,
            ..SegmenterConfig::default()
        };
        let samples = conversation();
        let found = utterances(&segment(config, &samples, &[]), &samples);
        assert!(found.len() >= 4, "{found:?}");
        assert!(
            (found.iter()).all(|(start, end)| {
                end - start <= 24_000 + 512 + samples_from_ms(HINT_REACH_MS)
            }),
            "{found:?}"
        );
        assert!(
            found.windows(2).all(|pair| pair[0].1 <= pair[1].0),
            "overlap: {found:?}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_split_gives_the_same(lengths in prop::collection::vec(1_usize..3000, 1..6)) {
            let samples = conversation();
            let whole = segment(SegmenterConfig::default(), &samples, &[]);
            prop_assert_eq!(segment(SegmenterConfig::default(), &samples, &lengths), whole);
        }
    }
}
