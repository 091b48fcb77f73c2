//! The thresholds of the incremental decoder; `config.toml` says what each is for.

/// When words are shown, committed and forgotten. Milliseconds are of audio.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSettings {
    /// A token that looks at the audio's end nearer than this is about speech not yet heard.
    pub frame_threshold_ms: u32,
    /// A word is committed when so much has been heard after it.
    pub commit_margin_ms: u32,
    /// The same for words less likely than `unsure_p`.
    pub unsure_margin_ms: u32,
    /// Probability below which a word is unsure.
    pub unsure_p: f32,
    /// Probability from which a word needs no second step that agrees; above 1 all do.
    pub sure_p: f32,
    /// Silence that ends a word and lets the audio be cut.
    pub pause_ms: u32,
    /// A longer window is cut behind committed words.
    pub trim_after_ms: u32,
    /// A window of this length is decoded as it stands, and what is complete in it committed.
    pub window_ms: u32,
    /// Audio before its end that a step encodes anew; what is older is kept as it was. 0 for all.
    pub encode_ms: u32,
    /// Attention that moves back by more than this has lost its way.
    pub rewind_ms: u32,
    /// With a probability of no speech above `whisper.no_speech`, words less likely than this, in
    /// nats a token on average, are noise.
    pub noise_logprob: f32,
    /// The same token, or the same few, so often in a row are a loop.
    pub max_repeats: u32,
    /// No speaker makes more tokens in a second; ten more are always allowed.
    pub max_tokens_per_second: f32,
    /// Whether the last hypothesis is verified in one pass rather than decoded anew.
    pub verify: bool,
}

impl Default for StreamSettings {
    fn default() -> Self {
        StreamSettings {
            frame_threshold_ms: 100,
            commit_margin_ms: 300,
            unsure_margin_ms: 1_400,
            unsure_p: 0.7,
            sure_p: 0.9,
            pause_ms: 100,
            trim_after_ms: 24_000,
            window_ms: 28_000,
            encode_ms: 2_000,
            rewind_ms: 2_000,
            noise_logprob: -0.3,
            max_repeats: 3,
            max_tokens_per_second: 10.0,
            verify: true,
        }
    }
}
