//! What was said, weighed against what may be said: the command path's view of the utterance.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::event::Readings;
use crate::whisper::guided::{Guide, Guided};
use crate::whisper::transcribe::MIN_COLUMNS;
use crate::whisper::window::Columns;

use super::Stream;
use super::beginning::MAX_BEGINNING;

impl Stream {
    /// From now on [`Stream::weigh`] looks for the sentences of `guide`.
    pub fn set_guide(&mut self, guide: Box<dyn Guide>) {
        self.guided = Some(Guided::new(&self.reader.model, guide));
    }

    /// Whether the decoder looks at all of the utterance: it is encoded once more where its text was
    /// read in several parts.
    pub(super) fn holds_all(&mut self) -> bool {
        let n_columns = self.n_columns();
        let is_short = self.seek == 0 && n_columns <= self.reader.window_columns();
        if self.is_whole || !is_short || n_columns < MIN_COLUMNS {
            return self.is_whole;
        }
        let window = Columns {
            values: &self.columns,
            n: n_columns,
        };
        let reader = &mut self.reader;
        let exec = reader.model.exec().clone();
        self.is_whole = exec
            .run(|| reader.encode_whole(&exec, window))
            .is_continue();
        self.is_whole
    }

    /// A text as tokens.
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let tokenizer = self.reader.model.tokenizer();
        tokenizer.encode(&format!(" {}", text.trim()))
    }

    /// The guide's sentences in the audio of the utterance that was just concluded as `text`, behind
    /// the tokens `after` which it begins with and which `text` is without; none where there is no
    /// guide, or the utterance is longer than a window, or the beginning than 24 tokens, or when
    /// `abort` becomes true.
    pub fn weigh(
        &mut self,
        (after, text): (&[u32], &str),
        abort: &Arc<AtomicBool>,
    ) -> Option<Readings> {
        if self.guided.is_none() || after.len() > MAX_BEGINNING || !self.holds_all() {
            return None;
        }
        let free = self.tokens(text);
        let guided = self.guided.as_mut()?;
        let exec = self.reader.model.exec().clone();
        let (start, state) = self.reader.plain_start(after);
        exec.run(|| guided.read(&start, &free, state, abort))
    }
}
