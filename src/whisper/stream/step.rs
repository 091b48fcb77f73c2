//! One step: what is said in the audio so far, from what was thought before.
//!
//! The last hypothesis is verified in one pass of the decoder and kept as far as the model still
//! agrees; from there on it is decoded greedily, until a token looks at the end of the audio (it
//! is about speech not yet heard), the text ends, or a check trips.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::event::Word;
use crate::random::Random;
use crate::whisper::align::{self, SECONDS_PER_FRAME, Warp};
use crate::whisper::decode::{Hypothesis, Start, choose};
use crate::whisper::decoder::DecoderState;
use crate::whisper::draft;
use crate::whisper::rules::Rules;

use super::attend::{Attend, Keep};
use super::checks::{self, Trip};
use super::{StreamSettings, frames_of};

/// Frames before the end of the last committed word in which the next one may begin.
const OVERLAP_FRAMES: usize = 10;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The model has said all it hears.
    Complete,
    /// It has caught up with the audio: what follows, this token, is about its end.
    Caught(u32),
    /// What it says is not to be believed.
    Tripped(Trip),
    /// It was told to stop.
    Aborted,
}

/// Runs steps; owns their buffers.
#[derive(Default)]
pub(super) struct Stepper {
    /// The text, from the forced tokens on.
    pub(super) text: Hypothesis,
    attend: Attend,
    feed: Vec<u32>,
    /// Its text tokens.
    pub(super) spoken: Vec<u32>,
    cost: Vec<f32>,
    warp: Warp,
    starts: Vec<usize>,
    /// Tokens sampled so far.
    pub(super) n_sampled: usize,
}

impl Stepper {
    /// Decodes the window of `n_frames` real frames that `start` describes into `self.text`.
    pub(super) fn run(
        &mut self,
        start: &Start<'_>,
        (rules, state): (&Rules, &mut DecoderState),
        n_frames: usize,
        settings: &StreamSettings,
        abort: &AtomicBool,
    ) -> End {
        let mut random = Random::new(0);
        let mut pick = |logits: &mut [f32]| choose(start.model, logits, 0.0, &mut random);
        let n_draft = draft::prepare(start, 0.0, &mut self.feed);
        self.attend
            .begin(start.model.alignment_heads.len(), n_frames);
        let mut watch = self.attend.watch(start.model, self.feed.len());
        let feed = (&self.feed[..], n_draft);
        let watched = (&mut pick as &mut draft::Pick<'_>, Some(&mut watch));
        let opening = draft::open(start, feed, rules, state, &mut self.text, watched);
        self.text.no_speech_prob = opening.no_speech_prob;
        self.n_sampled += opening.n_accepted + 1;
        let mut follower = Follower::new(n_frames, settings);
        match self.follow_draft(start, rules.eot(), &mut follower) {
            Some(end) => end,
            None => self.go_on(start, (rules, state), opening.next, &mut follower, abort),
        }
    }

    /// Decodes a token after the other, from the one that follows the draft on.
    fn go_on(
        &mut self,
        start: &Start<'_>,
        (rules, state): (&Rules, &mut DecoderState),
        (mut token, mut logprob): (u32, f32),
        follower: &mut Follower<'_>,
        abort: &AtomicBool,
    ) -> End {
        let (model, eot) = (start.model, rules.eot());
        let (decoder, exec) = (model.decoder(), model.exec());
        let mut random = Random::new(0);
        let n_held = start.given.n_held;
        let mut row = start.prompt.len() + self.text.tokens.len() - 1 - n_held;
        loop {
            if token <= eot {
                self.attend.count(row, Keep::Yes);
            }
            if token == eot {
                return End::Complete;
            }
            if token < eot {
                self.spoken.push(token);
                if let Some(end) = follower.judge(&mut self.attend, &self.spoken) {
                    self.spoken.pop();
                    return end;
                }
            }
            self.text.tokens.push(token);
            self.text.logprobs.push(logprob);
            if abort.load(Ordering::Relaxed) {
                return End::Aborted;
            }
            if self.text.tokens.len() >= start.max_tokens() {
                return End::Tripped(Trip::TooMany);
            }
            let mut watch = self.attend.watch(model, 1);
            decoder.forward_watched(exec, &[token], start.cross, state, Some(&mut watch));
            let logits = decoder.logits(exec, state, 0..1);
            rules.apply(&self.text.tokens, logits);
            (token, logprob) = choose(model, logits, 0.0, &mut random);
            self.n_sampled += 1;
            row = 0;
        }
    }

    /// Judges the tokens that were known before, forced ones excepted; the text is cut where the
    /// step ends among them.
    fn follow_draft(
        &mut self,
        start: &Start<'_>,
        eot: u32,
        follower: &mut Follower<'_>,
    ) -> Option<End> {
        self.spoken.clear();
        let n_forced = start.given.forced.len();
        for i in 0..self.text.tokens.len() {
            let token = self.text.tokens[i];
            if token >= eot {
                continue;
            }
            self.spoken.push(token);
            // The row that chose the token: of one that is held, nothing is known in this pass.
            let row = (start.prompt.len() + i - 1).checked_sub(start.given.n_held);
            if i < n_forced {
                if let Some(row) = row {
                    self.attend.count(row, Keep::No);
                }
                continue;
            }
            self.attend.count(row.unwrap_or(0), Keep::Yes);
            if let Some(end) = follower.judge(&mut self.attend, &self.spoken) {
                self.text.tokens.truncate(i);
                self.text.logprobs.truncate(i);
                return Some(end);
            }
        }
        None
    }

    /// The words after the first `n_forced` tokens with times in the window, each with the number
    /// of text tokens after the forced ones up to its end. `from_s` is where the last committed
    /// word ends.
    pub(super) fn words(
        &mut self,
        start: &Start<'_>,
        (n_forced, eot): (usize, u32),
        language: &str,
        from_s: f64,
    ) -> Vec<(usize, Word)> {
        let n_frames = self.attend.n_frames();
        let from = ((from_s / SECONDS_PER_FRAME) as usize).saturating_sub(OVERLAP_FRAMES);
        let tail = self
            .text
            .tokens
            .iter()
            .zip(&self.text.logprobs)
            .skip(n_forced);
        let (tokens, logprobs): (Vec<u32>, Vec<f32>) =
            tail.filter(|(token, _)| **token < eot).unzip();
        if tokens.is_empty() || from >= n_frames {
            return Vec::new();
        }
        self.attend.costs(from, &mut self.cost);
        let n_rows = self.attend.n_tail();
        let starts = self.warp.starts(&self.cost, n_rows, n_frames - from);
        self.starts.clear();
        self.starts.extend(starts.iter().map(|start| start + from));
        // Without a row for what follows, the last word goes on to the end.
        self.starts.resize(tokens.len() + 1, n_frames);
        align::to_words(start.model, language, (&tokens, &logprobs), &self.starts)
    }
}

/// Judges each new token by where it looks and by what precedes it.
struct Follower<'a> {
    settings: &'a StreamSettings,
    n_frames: usize,
    /// The latest frame looked at.
    reached: usize,
}

impl<'a> Follower<'a> {
    fn new(n_frames: usize, settings: &'a StreamSettings) -> Self {
        Follower {
            settings,
            n_frames,
            reached: 0,
        }
    }

    /// Why the text ends before the last of the `spoken` tokens, if it does.
    fn judge(&mut self, attend: &mut Attend, spoken: &[u32]) -> Option<End> {
        let frame = attend.last_frame();
        if frame + frames_of(self.settings.frame_threshold_ms) >= self.n_frames {
            return Some(End::Caught(spoken.last().copied().unwrap_or(0)));
        }
        let trip = if checks::backwards(spoken.len(), self.reached, frame, self.settings) {
            Trip::Backwards
        } else if checks::repeats(spoken, self.settings) {
            Trip::Repeats
        } else if checks::too_many(spoken.len(), self.n_frames, self.settings) {
            Trip::TooMany
        } else {
            self.reached = self.reached.max(frame);
            return None;
        };
        Some(End::Tripped(trip))
    }
}
