//! How a text begins of which something is known already: words it must begin with, and a draft of
//! what probably follows.
//!
//! Both go through the decoder in one pass with the prompt. Of the draft those tokens stay that the
//! model would have chosen itself, up to the first that it would not: the result is that of
//! decoding a token after the other, for about the price of one (Leviathan et al. 2023, "Fast
//! Inference from Transformers via Speculative Decoding", at temperature 0).

use super::decode::{Hypothesis, Start, probability};
use super::decoder::{DecoderState, Watch};
use super::rules::Rules;

/// Tokens of a draft that are looked at together: of a long one that is wrong early, the rest
/// costs nothing.
pub(super) const ROWS_AT_A_TIME: usize = 8;

/// What is known of a text before it is decoded.
#[derive(Clone, Copy, Default)]
pub(super) struct Given<'a> {
    /// Tokens it begins with, whatever the model thinks.
    pub(super) forced: &'a [u32],
    /// Log-probability of each of them.
    pub(super) logprobs: &'a [f32],
    /// Tokens that probably follow.
    pub(super) draft: &'a [u32],
    /// Tokens of the prompt and of what is forced, from the first on, that the state holds already
    /// and that are not computed again; fewer than all of them.
    pub(super) n_held: usize,
}

/// Chooses a token from logits, and gives its log-probability.
pub(super) type Pick<'a> = dyn FnMut(&mut [f32]) -> (u32, f32) + 'a;

/// The state of a text after its beginning.
pub(super) struct Opening {
    /// The token that follows, and its log-probability.
    pub(super) next: (u32, f32),
    /// Probability that the window holds no speech; 0 when there are words that must be there.
    pub(super) no_speech_prob: f32,
    /// Tokens of the draft that were right.
    pub(super) n_accepted: usize,
}

/// Writes what the first pass is fed to `feed`: prompt and what is forced, without what is held, and
/// as much of the draft as a text may have; none of it above temperature 0. Returns how much of the
/// draft that is.
pub(super) fn prepare(start: &Start<'_>, temperature: f32, feed: &mut Vec<u32>) -> usize {
    let given = start.given;
    let n_left = start.max_tokens().saturating_sub(given.forced.len() + 1);
    let n_draft = match temperature > 0.0 {
        true => 0,
        false => given.draft.len().min(n_left),
    };
    feed.clear();
    for part in [start.prompt, given.forced, &given.draft[..n_draft]] {
        feed.extend_from_slice(part);
    }
    feed.drain(..given.n_held);
    n_draft
}

/// Feeds what was prepared to a state emptied but for what is held, and sets `text` to the forced tokens and the part
/// of the draft, of `n_draft` tokens, that is right. `pick` chooses from the logits of a token.
/// `watch` receives the attention of the pass.
pub(super) fn open(
    start: &Start<'_>,
    (feed, n_draft): (&[u32], usize),
    rules: &Rules,
    state: &mut DecoderState,
    text: &mut Hypothesis,
    (pick, watch): (&mut Pick<'_>, Option<&mut Watch<'_>>),
) -> Opening {
    let (model, given) = (start.model, start.given);
    let draft = &given.draft[..n_draft];
    text.tokens.clear();
    text.tokens.extend_from_slice(given.forced);
    text.logprobs.clear();
    text.logprobs.extend_from_slice(given.logprobs);
    state.truncate(given.n_held);
    let (decoder, exec) = (model.decoder(), model.exec());
    decoder.forward_watched(exec, feed, start.cross, state, watch);

    let n_vocab = model.dims().n_vocab;
    // Rows of the pass that are given.
    let n_fixed = start.prompt.len() + given.forced.len() - given.n_held;
    let mut no_speech_prob = 0.0;
    // The first row of interest: with nothing forced, the one that tells whether there is speech.
    let speech_row = given.forced.is_empty().then_some(start.n_before_sot);
    let mut row = speech_row.unwrap_or(n_fixed - 1);
    let (mut n_accepted, mut next) = (0, (rules.eot(), 0.0));
    'rows: while row < feed.len() {
        let end = (row + ROWS_AT_A_TIME).min(feed.len());
        let logits = decoder.logits(exec, state, row..end);
        for (i, logits) in (row..end).zip(logits.chunks_exact_mut(n_vocab)) {
            if Some(i) == speech_row {
                let no_speech = model.tokenizer().special().no_speech;
                no_speech_prob = probability(model, logits, no_speech);
            }
            if i + 1 < n_fixed {
                continue;
            }
            rules.apply(&text.tokens, logits);
            next = pick(logits);
            if draft.get(n_accepted) != Some(&next.0) {
                break 'rows;
            }
            text.tokens.push(next.0);
            text.logprobs.push(next.1);
            n_accepted += 1;
        }
        row = end;
    }
    state.truncate(given.n_held + n_fixed + n_accepted);
    Opening {
        next,
        no_speech_prob,
        n_accepted,
    }
}
