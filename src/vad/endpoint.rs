//! The edges of utterances, from the probabilities of speech.
//!
//! Enters: one probability per window. Leaves: at most one [`Edge`] per window, on the sample
//! clock. Pure logic: no audio, no network, no allocation.

use super::{WINDOW_SAMPLES, ms_from_samples, samples_from_ms};

const WINDOW: u64 = WINDOW_SAMPLES as u64;

/// Silence within the first `min_speech_ms` of an utterance that makes it a false alarm: longer
/// than the closure of a stop consonant, shorter than a pause.
const FALSE_ALARM_SILENCE_SAMPLES: u64 = 3 * WINDOW;

/// How much audio may pass from the first speech until there has been enough of it.
pub(super) fn max_candidate_samples(min_speech_ms: u32) -> u64 {
    3 * samples_from_ms(min_speech_ms) + FALSE_ALARM_SILENCE_SAMPLES
}

/// From this part of the longest utterance on, ever shorter pauses end it.
const HURRY_FROM: f64 = 0.7;

/// When an utterance begins and ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointConfig {
    /// A window at or above this probability is speech.
    pub threshold: f32,
    /// A window below this probability is silence; one in between changes nothing.
    pub neg_threshold: f32,
    /// Speech there must be before an utterance starts.
    pub min_speech_ms: u32,
    /// Silence that ends an utterance.
    pub min_silence_ms: u32,
    /// Audio before the first speech that belongs to the utterance.
    pub pre_roll_ms: u32,
    /// An utterance as long as this, pre-roll included, ends at the first silence, however short.
    pub max_speech_ms: u32,
    /// The longest utterance, silence or not.
    pub cut_speech_ms: u32,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        EndpointConfig {
            threshold: 0.5,
            neg_threshold: 0.35,
            min_speech_ms: 96,
            min_silence_ms: 700,
            pre_roll_ms: 500,
            max_speech_ms: 28_000,
            cut_speech_ms: 300_000,
        }
    }
}

/// Why an utterance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The speaker paused.
    Silence,
    /// The utterance reached its greatest length; the next one may continue it.
    TooLong,
    /// The audio ended or was interrupted.
    EndOfAudio,
}

/// The beginning or the end of an utterance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Speech began; reported when `min_speech_ms` of it have been heard.
    Start {
        /// The first sample of the first window of speech; the pre-roll lies before it.
        at_sample: u64,
    },
    /// Speech ended; reported when the silence after it has lasted long enough.
    End {
        /// The sample after the last window of speech.
        at_sample: u64,
        /// Why it ended.
        cause: EndCause,
    },
}

/// Finds the edges of utterances with hysteresis: a high probability begins speech, a low one
/// sustained for `min_silence_ms` ends it.
#[derive(Clone, Debug)]
pub struct Endpointer {
    config: EndpointConfig,
    /// The silence in force, see [`Endpointer::set_min_silence_ms`].
    min_silence_samples: u64,
    state: State,
    /// Samples judged so far: the first sample of the next window.
    now: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    /// Speech was heard, not yet enough to start.
    Candidate {
        began_at: u64,
        n_speech: u64,
        silence: Silence,
    },
    Speaking {
        began_at: u64,
        silence: Silence,
    },
}

/// The first sample of the silence that lasts until now, if there is one.
type Silence = Option<u64>;

impl Endpointer {
    /// An endpointer that has heard nothing, at sample 0.
    pub fn new(config: EndpointConfig) -> Self {
        Endpointer {
            min_silence_samples: samples_from_ms(config.min_silence_ms),
            config,
            state: State::Idle,
            now: 0,
        }
    }

    /// Judges the next window of 512 samples by the probability that it holds speech.
    /// A probability that is not a number changes nothing.
    pub fn push(&mut self, probability: f32) -> Option<Edge> {
        let window_at = self.now;
        self.now += WINDOW;
        match self.state {
            State::Idle => {
                let silence = None;
                self.state = State::Candidate {
                    began_at: window_at,
                    n_speech: 0,
                    silence,
                };
                self.judge_candidate(probability, window_at)
            }
            State::Candidate { .. } => self.judge_candidate(probability, window_at),
            State::Speaking { began_at, silence } => {
                let silence = self.silence_after(silence, probability, window_at);
                self.state = State::Speaking { began_at, silence };
                self.judge_end(began_at, silence)
            }
        }
    }

    /// Ends the utterance, if there is one, because the audio does. The sample clock goes on.
    pub fn flush(&mut self) -> Option<Edge> {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let State::Speaking { silence, .. } = state else {
            return None;
        };
        let at_sample = silence.unwrap_or(self.now);
        Some(Edge::End {
            at_sample,
            cause: EndCause::EndOfAudio,
        })
    }

    /// Forgets the utterance and sets the sample clock: the next window begins at `at_sample`.
    pub fn reset(&mut self, at_sample: u64) {
        self.state = State::Idle;
        self.now = at_sample;
    }

    /// Takes over an utterance that speaks since `began_at`; the next window begins at `at_sample`.
    pub fn resume(&mut self, began_at: u64, at_sample: u64) {
        self.now = at_sample;
        self.min_silence_samples = samples_from_ms(self.config.min_silence_ms);
        self.state = State::Speaking {
            began_at,
            silence: None,
        };
    }

    /// The next window begins at `at_sample`.
    pub fn skip_to(&mut self, at_sample: u64) {
        self.now = at_sample;
    }

    /// Changes the silence that ends the present utterance: less when its words are complete,
    /// more when they are visibly not. Holds until the utterance ends; counts from the next
    /// window on.
    pub fn set_min_silence_ms(&mut self, ms: u32) {
        if self.is_speaking() {
            self.min_silence_samples = samples_from_ms(ms);
        }
    }

    /// How long the present utterance has been silent; 0 while it speaks, and between utterances.
    pub fn silence_ms(&self) -> u64 {
        match self.state {
            State::Speaking {
                silence: Some(since),
                ..
            } => ms_from_samples(self.now - since),
            _ => 0,
        }
    }

    /// How long the present utterance will have been silent after a window of this probability; 0 if
    /// it speaks then, and between utterances.
    pub fn silence_ms_after(&self, probability: f32) -> u64 {
        let State::Speaking { silence, .. } = self.state else {
            return 0;
        };
        let since = self.silence_after(silence, probability, self.now);
        since.map_or(0, |since| ms_from_samples(self.now + WINDOW - since))
    }

    /// Whether an utterance has started and not ended.
    pub fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    /// Samples judged so far.
    pub fn now_samples(&self) -> u64 {
        self.now
    }

    fn silence_after(&self, before: Silence, probability: f32, window_at: u64) -> Silence {
        if probability >= self.config.threshold {
            None
        } else if probability < self.config.neg_threshold {
            before.or(Some(window_at))
        } else {
            before
        }
    }

    fn judge_candidate(&mut self, probability: f32, window_at: u64) -> Option<Edge> {
        let State::Candidate {
            began_at,
            mut n_speech,
            silence,
        } = self.state
        else {
            return None;
        };
        let silence = self.silence_after(silence, probability, window_at);
        if probability >= self.config.threshold {
            n_speech += WINDOW;
        }
        let false_alarm = silence.is_some_and(|at| self.now - at >= FALSE_ALARM_SILENCE_SAMPLES)
            || self.now - began_at > max_candidate_samples(self.config.min_speech_ms);
        if n_speech == 0 || false_alarm {
            self.state = State::Idle;
            return None;
        }
        if n_speech < samples_from_ms(self.config.min_speech_ms) {
            self.state = State::Candidate {
                began_at,
                n_speech,
                silence,
            };
            return None;
        }
        self.min_silence_samples = samples_from_ms(self.config.min_silence_ms);
        self.state = State::Speaking { began_at, silence };
        Some(Edge::Start {
            at_sample: began_at,
        })
    }

    fn judge_end(&mut self, began_at: u64, silence: Silence) -> Option<Edge> {
        let pre_roll_samples = samples_from_ms(self.config.pre_roll_ms);
        let max_samples = samples_from_ms(self.config.cut_speech_ms);
        let length_samples = self.now - began_at + pre_roll_samples;
        let edge = |at_sample, cause| Some(Edge::End { at_sample, cause });
        let end = match silence {
            Some(since) if self.now - since >= self.patience_samples(length_samples) => {
                edge(since, EndCause::Silence)
            }
            _ if length_samples >= max_samples => edge(self.now, EndCause::TooLong),
            _ => None,
        };
        if end.is_some() {
            self.state = State::Idle;
        }
        end
    }

    /// The silence that ends an utterance of this length: the usual one, but towards the greatest
    /// length ever less, so that a long utterance is cut in a pause rather than in a word.
    fn patience_samples(&self, length_samples: u64) -> u64 {
        let max_samples = samples_from_ms(self.config.max_speech_ms) as f64;
        let left = (max_samples - length_samples as f64) / (max_samples * (1.0 - HURRY_FROM));
        (self.min_silence_samples as f64 * left.clamp(0.0, 1.0)) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The edges of a pattern of windows: `#` speech, `.` silence, `-` in between.
    fn edges(config: EndpointConfig, pattern: &str) -> Vec<Edge> {
        let mut endpointer = Endpointer::new(config);
        pattern
            .chars()
            .filter_map(|c| endpointer.push(probability(c)))
            .collect()
    }

    fn probability(c: char) -> f32 {
        match c {
            '#' => 0.9,
            '-' => 0.4,
            '.' => 0.1,
            _ => f32::NAN,
        }
    }

    /// Three windows start, four of silence end.
    fn brisk() -> EndpointConfig {
        EndpointConfig {
            min_speech_ms: 96,
            min_silence_ms: 128,
            ..EndpointConfig::default()
        }
    }

    fn start(window: u64) -> Edge {
        Edge::Start {
            at_sample: window * WINDOW,
        }
    }

    fn end(window: u64, cause: EndCause) -> Edge {
        Edge::End {
            at_sample: window * WINDOW,
            cause,
        }
    }

    #[test]
    fn speech_between_silences_has_two_edges() {
        let expected = [start(2), end(7, EndCause::Silence)];
        assert_eq!(edges(brisk(), "..#####....."), expected);
    }

    #[test]
    fn too_little_speech_is_no_utterance() {
        assert_eq!(edges(brisk(), "..##....##...#...."), []);
        assert_eq!(edges(brisk(), "------------"), []);
        // Nor is speech that comes too thinly.
        assert_eq!(edges(brisk(), "#-----#-----#-----#-----#"), []);
    }

    #[test]
    fn a_short_closure_does_not_restart_the_candidate() {
        assert_eq!(edges(brisk(), ".#..##"), [start(1)]);
        assert_eq!(edges(brisk(), ".#...##"), []);
    }

    #[test]
    fn between_the_thresholds_nothing_changes() {
        // Neither does it end silence…
        assert_eq!(
            edges(brisk(), "###.--."),
            [start(0), end(3, EndCause::Silence)]
        );
        // …nor begin it.
        assert_eq!(edges(brisk(), "###------"), [start(0)]);
    }

    #[test]
    fn a_pause_shorter_than_the_silence_is_part_of_the_utterance() {
        let expected = [start(0), end(8, EndCause::Silence)];
        assert_eq!(edges(brisk(), "####...#...."), expected);
    }

    #[test]
    fn silence_is_reported_while_it_lasts() {
        let mut endpointer = Endpointer::new(EndpointConfig::default());
        let silences: Vec<u64> = "..####..-.#."
            .chars()
            .map(|c| {
                endpointer.push(probability(c));
                endpointer.silence_ms()
            })
            .collect();
        assert_eq!(silences, [0, 0, 0, 0, 0, 0, 32, 64, 96, 128, 0, 32]);
    }

    #[test]
    fn a_changed_silence_holds_for_one_utterance() {
        let mut endpointer = Endpointer::new(EndpointConfig::default());
        endpointer.set_min_silence_ms(32);
        let mut ends = Vec::new();
        for (i, c) in "####.....####.....".chars().enumerate() {
            if let Some(Edge::End { .. }) = endpointer.push(probability(c)) {
                ends.push(i);
            }
            if i == 5 {
                endpointer.set_min_silence_ms(96);
            }
        }
        assert_eq!(ends, [6]);
    }

    #[test]
    fn an_endless_utterance_is_cut_and_continued() {
        let config = EndpointConfig {
            max_speech_ms: 640,
            cut_speech_ms: 640,
            pre_roll_ms: 0,
            ..brisk()
        };
        let expected = [
            start(0),
            end(20, EndCause::TooLong),
            start(20),
            end(40, EndCause::TooLong),
        ];
        assert_eq!(edges(config, &"#".repeat(40)), expected);
    }

    #[test]
    fn towards_the_greatest_length_a_short_pause_ends() {
        let config = EndpointConfig {
            max_speech_ms: 640,
            cut_speech_ms: 640,
            pre_roll_ms: 0,
            ..brisk()
        };
        let pattern = "##################.##";
        assert_eq!(
            edges(config, pattern),
            [start(0), end(18, EndCause::Silence)]
        );
        assert_eq!(
            edges(config, "#######.############")[1],
            end(20, EndCause::TooLong)
        );
    }

    #[test]
    fn the_end_of_the_audio_ends_an_utterance_only() {
        let mut endpointer = Endpointer::new(brisk());
        assert_eq!(endpointer.flush(), None);
        endpointer.push(0.9);
        assert_eq!(endpointer.flush(), None);
        for c in "###.".chars() {
            endpointer.push(probability(c));
        }
        assert_eq!(endpointer.flush(), Some(end(4, EndCause::EndOfAudio)));
        assert!(!endpointer.is_speaking());
    }

    #[test]
    fn extreme_settings_do_no_harm() {
        let zero = EndpointConfig {
            min_speech_ms: 0,
            min_silence_ms: 0,
            max_speech_ms: 0,
            cut_speech_ms: 0,
            ..EndpointConfig::default()
        };
        assert_eq!(edges(zero, "#").len(), 1);
        let endless = EndpointConfig {
            min_speech_ms: u32::MAX,
            min_silence_ms: u32::MAX,
            pre_roll_ms: u32::MAX,
            max_speech_ms: u32::MAX,
            cut_speech_ms: u32::MAX,
            ..EndpointConfig::default()
        };
        assert_eq!(edges(endless, "####....?"), []);
    }

    proptest! {
        /// Whatever the probabilities, edges alternate, go forward, keep to the greatest length
        /// and are found while their audio is at hand.
        #[test]
        fn edges_alternate(pattern in "[#.?-]{0,400}") {
            let config = EndpointConfig { max_speech_ms: 2000, cut_speech_ms: 2000, ..brisk() };
            let mut endpointer = Endpointer::new(config);
            let (mut speaking, mut last) = (false, 0);
            for c in pattern.chars() {
                let at_sample = match endpointer.push(probability(c)) {
                    Some(Edge::Start { at_sample }) => {
                        prop_assert!(!speaking && at_sample >= last);
                        prop_assert!(endpointer.now - at_sample <= max_candidate_samples(96));
                        at_sample
                    }
                    Some(Edge::End { at_sample, .. }) => {
                        prop_assert!(speaking && at_sample > last);
                        prop_assert!(at_sample - last <= samples_from_ms(2000));
                        at_sample
                    }
                    None => continue,
                };
                (speaking, last) = (!speaking, at_sample);
            }
        }
    }
}
