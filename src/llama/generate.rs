//! An answer, token by token.
//!
//! In: a conversation. Out: text as it comes, in whole characters. What a conversation has in common with the last
//! one is not read again: its keys and values are still there.

use std::path::Path;
use std::time::Instant;

use super::chat::{Chat, ChatError, Message, Role};
use super::choice::Choice;
use super::draft::{Drafts, MAX_DRAFT};
use super::grammar::{Constraint, ConstraintError};
use super::sampler::Sampling;
use super::saved::{self, SavedError};
use super::{KvType, Llama, MAX_BATCH, State, Wanted};
use crate::error::{Classify, Kind};
use crate::kernels::Exec;
use crate::text::LlamaTokenizer;

/// A model with everything that answering takes.
pub struct Answerer {
    model: Llama,
    tokenizer: LlamaTokenizer,
    chat: Chat,
    exec: Exec,
    state: State,
    /// Tokens of an answer at most.
    max_tokens: usize,
    /// Tokens of a conversation that are read without asking whether to go on.
    read_tokens: usize,
    longest_draft: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The model's template refuses.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The last message alone leaves no room.
    #[error(
        "what is asked has {n} tokens, {room} fit; ask less, or give the conversation more room"
    )]
    TooLong {
        /// Tokens of the conversation, shortened as far as it can be.
        n: usize,
        /// Tokens that leave room for an answer.
        room: usize,
    },
    /// The model gives no numbers.
    #[error("the model gives no numbers: its file is damaged; fetch it again")]
    NoNumbers,
    /// What must be written next is no token.
    #[error("what the grammar asks for next cannot be written with the model's tokens")]
    Stuck,
    /// What may be written is too ambiguous or nested.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
}

impl Classify for AnswerError {
    fn kind(&self) -> Kind {
        match self {
            AnswerError::Chat(error) => error.kind(),
            AnswerError::TooLong { .. } => Kind::Usage,
            AnswerError::NoNumbers => Kind::Model,
            AnswerError::Constraint(_) | AnswerError::Stuck => Kind::Usage,
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model had said it all.
    Complete,
    /// It had as many tokens as it may.
    Length,
    /// Somebody ended it.
    Stopped,
}

/// What is asked.
pub struct Asking<'a> {
    /// The conversation so far.
    pub messages: &'a [Message],
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What may be written; anything where there is none.
    pub constraint: Option<&'a mut Constraint>,
    /// Whether the oldest turns since the last answer were left out: then what follows them is not read again, and
    /// still knows of them. So it is, too, when they are left out here because all are too many.
    pub slides: bool,
}

/// An answer and what it took.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was said.
    pub text: String,
    /// Why it ended.
    pub end: End,
    /// Tokens of the conversation.
    pub n_prompt: usize,
    /// Of them, those that were known from the last one.
    pub n_reused: usize,
    /// Tokens of the answer.
    pub n_tokens: usize,
    /// Of them, those that were drafted.
    pub n_drafted: usize,
    /// Seconds until the first token was chosen.
    pub first_s: f64,
    /// Seconds for the others.
    pub rest_s: f64,
}

impl Answerer {
    /// For conversations of up to `n_ctx` tokens, of which an answer takes `max_tokens` at most, and half at the
    /// very most.
    pub fn new(
        model: Llama,
        tokenizer: LlamaTokenizer,
        chat: Chat,
        exec: Exec,
        (n_ctx, max_tokens): (usize, usize),
    ) -> Self {
        let n_ctx = n_ctx.min(model.dims().n_ctx).max(2);
        Answerer {
            state: model.new_state(n_ctx),
            max_tokens: max_tokens.clamp(1, n_ctx / 2),
            read_tokens: MAX_BATCH,
            longest_draft: MAX_DRAFT,
            model,
            tokenizer,
            chat,
            exec,
        }
    }

    /// Another type for keys and values; forgets what was read.
    pub fn with_kv(mut self, kv: KvType) -> Self {
        self.state = self.model.new_state_with(self.state.n_ctx(), kv);
        self
    }

    /// Drafts have at most so many tokens; 0 for none. Answers are the same.
    pub fn draft_at_most(&mut self, n_tokens: usize) {
        self.longest_draft = n_tokens.min(MAX_DRAFT);
    }

    /// Conversations are read in pieces of so many tokens, and `say` is asked before each.
    pub fn read_at_once(&mut self, n_tokens: usize) {
        self.read_tokens = n_tokens.clamp(1, MAX_BATCH);
    }

    /// The tokens that are text, with their bytes.
    pub fn vocabulary(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let all = 0..self.model.dims().n_vocab as u32;
        let text = all.map(|token| (token, self.tokenizer.token_bytes(token)));
        text.filter(|(token, bytes)| !bytes.is_empty() && !self.tokenizer.is_end(*token))
    }

    /// Calls `f` on each thread that computes but the caller's.
    pub fn settle(&self, f: fn()) {
        self.exec.on_each_thread(f);
    }

    /// The tokens that were read and written last.
    pub fn tokens(&self) -> &[u32] {
        self.state.tokens()
    }

    /// Reads what conversations will begin with; before each piece `goes_on` is asked. Whether all was read.
    pub fn read_ahead(&mut self, tokens: &[u32], goes_on: &mut dyn FnMut() -> bool) -> bool {
        let room = self.state.n_ctx() - 1;
        let tokens = &tokens[..tokens.len().min(room)];
        let (_, is_read) = self.read(tokens, Wanted::Rows(1), &mut |_| goes_on());
        is_read
    }

    /// What two conversations begin with, in tokens.
    ///
    /// # Errors
    /// If the model's template refuses.
    pub fn common(&self, a: &[Message], b: &[Message]) -> Result<Vec<u32>, AnswerError> {
        let (a, b) = (self.encoded(a)?, self.encoded(b)?);
        let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
        Ok(a[..same].to_vec())
    }

    /// Keeps what was read last in a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_state(&self, file: &Path) -> Result<(), SavedError> {
        saved::save(file, &self.model, &self.state, self.state.tokens().len())
    }

    /// Takes up what was kept in a file; how many tokens. A model is told by its sizes and samples of its weights.
    ///
    /// # Errors
    /// If it cannot be read, or is another model's.
    pub fn load_state(&mut self, file: &Path) -> Result<usize, SavedError> {
        saved::load(file, &self.model, &mut self.state)
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.model.bytes() + self.state.bytes()
    }

    /// Answers a conversation. Each new piece of text goes to `say`, which ends the answer by giving false; while
    /// the conversation is read, and for tokens that are no text yet, it is asked with nothing. The oldest messages
    /// (but what the model is to be) are left out when all are too many.
    ///
    /// # Errors
    /// If the model's template refuses, the last message alone is too long, the model is damaged, or what is
    /// allowed cannot be written.
    pub fn answer(
        &mut self,
        asking: Asking<'_>,
        say: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Answer, AnswerError> {
        let began = Instant::now();
        let (prompt, is_shortened) = self.prompt(asking.messages)?;
        if asking.slides || is_shortened {
            self.slide(&prompt);
        }
        let mut choice = Choice::new(asking, &self.model, &self.tokenizer);
        let wanted = choice.wanted()?;
        let (n_reused, is_read) = self.read(&prompt, wanted, say);
        let answer = Answer {
            text: String::new(),
            end: if is_read { End::Length } else { End::Stopped },
            n_prompt: prompt.len(),
            n_reused,
            n_tokens: 0,
            n_drafted: 0,
            first_s: 0.0,
            rest_s: 0.0,
        };
        let mut writing = Writing {
            text: prompt,
            speech: Speech::default(),
            answer,
            say,
        };
        if is_read {
            self.write(&mut writing, &mut choice, began)?;
        }
        let mut answer = writing.finish();
        answer.rest_s = began.elapsed().as_secs_f64() - answer.first_s;
        Ok(answer)
    }

    /// Writes until the answer is over.
    fn write(
        &mut self,
        to: &mut Writing<'_>,
        choice: &mut Choice<'_>,
        began: Instant,
    ) -> Result<(), AnswerError> {
        let mut drafts = Drafts::new(self.longest_draft);
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let mut row = 0;
        let mut chosen = None;
        loop {
            let room = self.room(to);
            if room == 0 {
                return Ok(());
            }
            let token = match (chosen.take(), choice.forced()?) {
                (Some(token), _) | (None, Some(token)) => token,
                (None, None) => choice.choose(self.state.logits(), row, &to.text)?,
            };
            if to.answer.n_tokens == 0 {
                to.answer.first_s = began.elapsed().as_secs_f64();
            }
            batch.clear();
            if let Some(end) = self.take(token, to, choice)? {
                to.answer.end = end;
                return Ok(());
            }
            batch.push(token);
            // What must follow anyway is not chosen.
            let most = room.min(self.read_tokens);
            while let (true, Some(forced)) = (batch.len() < most, choice.forced()?) {
                if let Some(end) = self.take(forced, to, choice)? {
                    to.answer.end = end;
                    return Ok(());
                }
                batch.push(forced);
            }
            if choice.is_over()? {
                to.answer.end = End::Complete;
                return Ok(());
            }
            let n_sure = batch.len();
            if choice.is_free() {
                let most = (room - n_sure).min(MAX_DRAFT);
                batch.extend_from_slice(drafts.find(&to.text, most));
            }
            let n_drafted = batch.len() - n_sure;
            let wanted = match n_drafted {
                0 => choice.wanted()?,
                n => Wanted::Rows(n + 1),
            };
            (self.model).forward_for(&self.exec, &batch, wanted, &mut self.state);
            row = 0;
            let mut end = None;
            while row < n_drafted && chosen.is_none() && end.is_none() {
                let token = choice.choose(self.state.logits(), row, &to.text)?;
                if token != batch[n_sure + row] || self.tokenizer.is_end(token) {
                    chosen = Some(token);
                } else {
                    end = self.take(token, to, choice)?;
                    row += 1;
                }
            }
            if n_drafted > 0 {
                drafts.learn(n_drafted, row);
                to.answer.n_drafted += row;
                let n_wrong = n_drafted - row;
                self.state.truncate(self.state.tokens().len() - n_wrong);
            }
            if let Some(end) = end {
                to.answer.end = end;
                return Ok(());
            }
        }
    }

    /// Tokens that may still be written.
    fn room(&self, to: &Writing<'_>) -> usize {
        let in_state = self.state.n_ctx() - self.state.tokens().len();
        in_state.min(self.max_tokens.saturating_sub(to.answer.n_tokens))
    }

    /// Says a token; how the answer ends with it, if it does.
    fn take(
        &self,
        token: u32,
        to: &mut Writing<'_>,
        choice: &mut Choice<'_>,
    ) -> Result<Option<End>, AnswerError> {
        if self.tokenizer.is_end(token) {
            return Ok(Some(End::Complete));
        }
        choice.take(token)?;
        let goes_on = to.add(token, self.tokenizer.token_bytes(token));
        Ok((!goes_on).then_some(End::Stopped))
    }

    /// The tokens of a conversation that leave room for an answer, and whether turns were left out for that.
    fn prompt(&self, messages: &[Message]) -> Result<(Vec<u32>, bool), AnswerError> {
        let room = self.state.n_ctx() - self.max_tokens;
        let all = self.encoded(messages)?;
        if all.len() <= room {
            return Ok((all, false));
        }
        // Once it is too long it is made much shorter, so that what is left stays the same for some turns.
        let (mut kept, mut n) = (messages.to_vec(), all.len());
        let first = usize::from(kept.first().is_some_and(|m| m.role == Role::System));
        while kept.len() >= first + 3 && n > room / 2 {
            // A question goes with its answer.
            kept.drain(first..first + 2);
            n = self.encoded(&kept)?.len();
        }
        let tokens = self.encoded(&kept)?;
        match tokens.len() <= room {
            true => Ok((tokens, true)),
            false => Err(AnswerError::TooLong {
                n: tokens.len(),
                room,
            }),
        }
    }

    fn encoded(&self, messages: &[Message]) -> Result<Vec<u32>, AnswerError> {
        let text = self.chat.prompt(messages, &self.tokenizer)?;
        let mut tokens = self.tokenizer.encode(&text, true);
        // Some templates write the mark of the beginning themselves.
        if let Some(bos) = self.tokenizer.bos()
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    /// Forgets what was left out of `prompt` since the last one, and moves down what is behind it.
    fn slide(&mut self, prompt: &[u32]) {
        let n_known = n_common(self.state.tokens(), prompt);
        if let Some((n_dropped, n_moved)) = gap(self.state.tokens(), prompt, n_known) {
            self.state.truncate(n_known + n_dropped + n_moved);
            (self.model).shift(&self.exec, &mut self.state, n_known, n_dropped);
        }
    }

    /// Brings the state to the end of `prompt`, unless it is ended; how many tokens were known, and whether all
    /// was read.
    fn read(
        &mut self,
        prompt: &[u32],
        wanted: Wanted<'_>,
        say: &mut dyn FnMut(&str) -> bool,
    ) -> (usize, bool) {
        let n_known = n_common(self.state.tokens(), prompt);
        // The last token is read again: what follows it is wanted.
        let n_known = n_known.min(prompt.len().saturating_sub(1));
        self.state.truncate(n_known);
        let mut left = &prompt[n_known..];
        while !left.is_empty() {
            if !say("") {
                return (n_known, false);
            }
            let (batch, after) = left.split_at(left.len().min(self.read_tokens));
            let wanted = if after.is_empty() {
                wanted
            } else {
                Wanted::Rows(1)
            };
            (self.model).forward_for(&self.exec, batch, wanted, &mut self.state);
            left = after;
        }
        (n_known, !prompt.is_empty())
    }
}

/// Fewer tokens than this are read again rather than moved.
const FEWEST_MOVED: usize = 16;

/// Tokens that both begin with.
fn n_common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// How many tokens of `old` behind the first `n_known` are left out of `new`, and how many follow them in both: the
/// oldest turns of a conversation that has grown too long. None where nothing is gained by that.
fn gap(old: &[u32], new: &[u32], n_known: usize) -> Option<(usize, usize)> {
    let (old, new) = (&old[n_known..], &new[n_known..]);
    let gain = |n_dropped: usize| n_common(&old[n_dropped..], new);
    let best =
        (1..old.len()).max_by_key(|n_dropped| (gain(*n_dropped), std::cmp::Reverse(*n_dropped)))?;
    Some((best, gain(best))).filter(|(_, gain)| *gain >= FEWEST_MOVED)
}

/// What is being written.
struct Writing<'a> {
    /// All tokens: the conversation's and the answer's.
    text: Vec<u32>,
    speech: Speech,
    answer: Answer,
    say: &'a mut dyn FnMut(&str) -> bool,
}

impl Writing<'_> {
    /// Says a token; whether more is wanted.
    fn add(&mut self, token: u32, bytes: &[u8]) -> bool {
        self.text.push(token);
        self.answer.n_tokens += 1;
        let new = self.speech.add(bytes);
        self.answer.text.push_str(new);
        (self.say)(new)
    }

    /// The answer, with what is left of its last character.
    fn finish(mut self) -> Answer {
        let rest = self.speech.rest();
        if !rest.is_empty() && self.answer.end != End::Stopped {
            self.answer.text.push_str(&rest);
            (self.say)(&rest);
        }
        self.answer
    }
}

/// Text out of bytes: a character may be spread over tokens.
#[derive(Default)]
struct Speech {
    /// The text that was given last, and behind it the beginning of a character.
    bytes: Vec<u8>,
    n_given: usize,
}

impl Speech {
    /// The whole characters that are new with these bytes.
    fn add(&mut self, bytes: &[u8]) -> &str {
        self.bytes.drain(..self.n_given);
        self.bytes.extend_from_slice(bytes);
        // What can never become a character must not hold up the rest.
        while let Err(error) = std::str::from_utf8(&self.bytes) {
            let (at, Some(n)) = (error.valid_up_to(), error.error_len()) else {
                break;
            };
            let replacement = char::REPLACEMENT_CHARACTER.to_string().into_bytes();
            self.bytes.splice(at..at + n, replacement);
        }
        self.n_given = match std::str::from_utf8(&self.bytes) {
            Ok(_) => self.bytes.len(),
            Err(error) => error.valid_up_to(),
        };
        std::str::from_utf8(&self.bytes[..self.n_given]).unwrap_or_default()
    }

    /// What is left of a character that never came to its end.
    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.bytes[self.n_given..]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_of_a_text_is_found() {
        let old: Vec<u32> = (0..100).collect();
        let shorter = |n_kept: usize, n_dropped: usize| -> Vec<u32> {
            let kept = old[..n_kept].iter().chain(&old[n_kept + n_dropped..]);
            kept.copied().chain([7, 7, 7]).collect()
        };
        assert_eq!(gap(&old, &shorter(10, 30), 10), Some((30, 60)));
        assert_eq!(gap(&old, &shorter(0, 1), 0), Some((1, 99)));
        // Too little is left to be worth it, or nothing was left out.
        assert_eq!(gap(&old, &shorter(10, 80), 10), None);
        assert_eq!(gap(&old, &shorter(100, 0), 100), None);
        assert_eq!(gap(&[], &[1], 0), None);
    }

    #[test]
    fn characters_come_whole() {
        let mut speech = Speech::default();
        assert_eq!(speech.add("aé".as_bytes()), "aé");
        assert_eq!(speech.add(&"場".as_bytes()[..2]), "");
        assert_eq!(speech.add(&"場b".as_bytes()[2..]), "場b");
        assert_eq!(speech.add(&[0xff, b'c', 0xe5]), "\u{fffd}c");
        assert_eq!(speech.rest(), "\u{fffd}");
    }
}
