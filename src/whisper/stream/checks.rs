//! Signs that a partial hypothesis is not about what was said.
//!
//! Pure logic on tokens and frames. A loop is confident, so probability does not give it away; its
//! shape, its speed and where it looks do.

use super::StreamSettings;

/// Longest phrase, in tokens, whose repetition is looked for.
const MAX_PHRASE: usize = 6;
/// Tokens that are allowed however little was heard.
const FREE_TOKENS: f32 = 10.0;
/// Tokens at the end of a hypothesis whose text is compressed.
const PACKED_TOKENS: usize = 32;
/// Tokens below which attention has not found its way yet.
const MIN_ATTENDED: usize = 3;
/// Frames of a second.
const FRAMES_PER_SECOND: f32 = 50.0;

/// What is wrong with a hypothesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// It says the same over and over.
    Repeats,
    /// It has more words than could be said in the time.
    TooMany,
    /// It looks at audio that it has already written down.
    Backwards,
    /// There is probably no speech.
    NoSpeech,
    /// The first words of an utterance are improbable ones.
    Unlikely,
}

/// Whether words are noise: `no_speech` is the probability of no speech with the greatest at which
/// there is speech, `logprob` the mean of the words'.
///
/// Of 160 hypotheses on single spoken digits, letters and names three had a probability of no speech
/// above 0.6, and words below -1; every one on household noise and music was above.
pub(super) fn is_noise(
    (no_speech, most): (f32, f32),
    logprob: f32,
    settings: &StreamSettings,
) -> bool {
    no_speech > most && logprob < settings.noise_logprob
}

/// Whether the whole text is one of those that Whisper writes most for sounds without speech: half
/// the evidence that there is none is enough against it.
///
/// Source: the "bag of hallucinations" of Barański et al. 2025, "Investigation of Whisper ASR
/// Hallucinations Induced by Non-Speech Audio".
pub(super) fn is_stock_phrase(text: &str) -> bool {
    let words: Vec<String> = text.split_whitespace().map(super::commit::bare).collect();
    let stock = [
        "thank you",
        "thank you very much",
        "thank you for watching",
        "thanks for watching",
        "you",
        "bye",
        "bye bye",
    ];
    stock.contains(&words.join(" ").as_str())
}

/// Whether `tokens`, text alone, end in a phrase said `settings.max_repeats` times or, when it is a
/// single token, once more: people do say "no, no, no".
pub(super) fn repeats(tokens: &[u32], settings: &StreamSettings) -> bool {
    (1..=MAX_PHRASE).any(|period| {
        let repeats = settings.max_repeats as usize + usize::from(period == 1);
        let n = period * repeats;
        let Some(start) = tokens.len().checked_sub(n) else {
            return false;
        };
        let tail = &tokens[start..];
        tail[period..] == tail[..n - period]
    })
}

/// The end of a hypothesis by which longer loops are found, by how well its text compresses; none
/// when there is less of it.
pub(super) fn end_to_pack(tokens: &[u32]) -> Option<&[u32]> {
    tokens
        .len()
        .checked_sub(PACKED_TOKENS)
        .map(|start| &tokens[start..])
}

/// Whether `n_tokens` are more than could be said in `n_frames`.
pub(super) fn too_many(n_tokens: usize, n_frames: usize, settings: &StreamSettings) -> bool {
    let seconds = n_frames as f32 / FRAMES_PER_SECOND;
    n_tokens as f32 > settings.max_tokens_per_second * seconds + FREE_TOKENS
}

/// Whether a token at `frame` looks further back than the text has reached before it, `reached`.
pub(super) fn backwards(
    n_tokens: usize,
    reached: usize,
    frame: usize,
    settings: &StreamSettings,
) -> bool {
    n_tokens >= MIN_ATTENDED && frame + super::frames_of(settings.rewind_ms) < reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_found_and_emphasis_is_not() {
        let settings = StreamSettings::default();
        assert!(!repeats(&[7, 7, 7], &settings));
        assert!(repeats(&[7, 7, 7, 7], &settings));
        assert!(!repeats(&[1, 2, 1, 2], &settings));
        assert!(repeats(&[9, 1, 2, 1, 2, 1, 2], &settings));
        assert!(!repeats(&[1, 2, 1, 2, 1, 2, 9], &settings));
        assert!(!repeats(&[], &settings));
    }

    #[test]
    fn stock_phrases_are_whole_texts() {
        assert!(is_stock_phrase(" Thank you."));
        assert!(is_stock_phrase(" you"));
        assert!(!is_stock_phrase(" Thank you for the tea."));
        assert!(!is_stock_phrase(""));
    }

    #[test]
    fn only_long_texts_are_compressed() {
        let tokens: Vec<u32> = (0..40).collect();
        assert_eq!(end_to_pack(&tokens[..31]), None);
        assert_eq!(end_to_pack(&tokens), Some(&tokens[8..]));
    }

    #[test]
    fn speed_is_limited_by_the_audio() {
        let settings = StreamSettings::default();
        assert!(!too_many(20, 50, &settings));
        assert!(too_many(21, 50, &settings));
    }

    #[test]
    fn sure_words_are_no_noise() {
        let settings = StreamSettings::default();
        assert!(is_noise((0.7, 0.6), -0.4, &settings));
        assert!(!is_noise((0.7, 0.6), -0.2, &settings));
        assert!(!is_noise((0.5, 0.6), -3.0, &settings));
    }

    #[test]
    fn attention_may_step_back_a_little() {
        let settings = StreamSettings::default();
        assert!(!backwards(3, 200, 100, &settings));
        assert!(backwards(3, 201, 100, &settings));
        assert!(!backwards(2, 201, 100, &settings));
    }
}
