//! An answer, token by token.
//!
//! In: a conversation. Out: text as it comes, in whole characters. What a conversation has in common with the last
//! one is not read again: its keys and values are still there.

use std::time::Instant;

use super::chat::{Chat, ChatError, Message, Role};
use super::sampler::{Sampler, Sampling};
use super::{Llama, MAX_BATCH, State};
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
}

impl Classify for AnswerError {
    fn kind(&self) -> Kind {
        match self {
            AnswerError::Chat(error) => error.kind(),
            AnswerError::TooLong { .. } => Kind::Usage,
            AnswerError::NoNumbers => Kind::Model,
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
            model,
            tokenizer,
            chat,
            exec,
        }
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.model.bytes() + self.state.bytes()
    }

    /// Answers a conversation. Each new piece of text goes to `say`, which ends the answer by giving false; while
    /// the conversation is read it is asked with nothing. The oldest messages (but what the model is to be) are
    /// left out when all are too many.
    ///
    /// # Errors
    /// If the model's template refuses, the last message alone is too long, or the model is damaged.
    pub fn answer(
        &mut self,
        messages: &[Message],
        sampling: Sampling,
        say: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Answer, AnswerError> {
        let began = Instant::now();
        let prompt = self.prompt(messages)?;
        let (n_reused, is_read) = self.read(&prompt, say);
        let mut sampler = Sampler::new(sampling, self.model.dims().n_vocab);
        let mut speech = Speech::default();
        let mut answer = Answer {
            text: String::new(),
            end: if is_read { End::Length } else { End::Stopped },
            n_prompt: prompt.len(),
            n_reused,
            n_tokens: 0,
            first_s: 0.0,
            rest_s: 0.0,
        };
        let has_room = |state: &State| state.tokens().len() < state.n_ctx();
        while is_read && answer.n_tokens < self.max_tokens && has_room(&self.state) {
            let token = sampler.choose(self.state.logits(), self.state.tokens());
            let token = token.ok_or(AnswerError::NoNumbers)?;
            if answer.n_tokens == 0 {
                answer.first_s = began.elapsed().as_secs_f64();
            }
            if self.tokenizer.is_end(token) {
                answer.end = End::Complete;
                break;
            }
            answer.n_tokens += 1;
            let new = speech.add(self.tokenizer.token_bytes(token));
            answer.text.push_str(new);
            if !new.is_empty() && !say(new) {
                answer.end = End::Stopped;
                break;
            }
            self.model.forward(&self.exec, &[token], &mut self.state);
        }
        let rest = speech.rest();
        answer.text.push_str(&rest);
        if !rest.is_empty() {
            say(&rest);
        }
        answer.rest_s = began.elapsed().as_secs_f64() - answer.first_s;
        Ok(answer)
    }

    /// The tokens of a conversation that leave room for an answer.
    fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, AnswerError> {
        let room = self.state.n_ctx() - self.max_tokens;
        let all = self.tokens(messages)?;
        if all.len() <= room {
            return Ok(all);
        }
        // Once it is too long it is made much shorter, so that what is left stays the same for some turns.
        let (mut kept, mut n) = (messages.to_vec(), all.len());
        let first = usize::from(kept.first().is_some_and(|m| m.role == Role::System));
        while kept.len() >= first + 3 && n > room / 2 {
            // A question goes with its answer.
            kept.drain(first..first + 2);
            n = self.tokens(&kept)?.len();
        }
        let tokens = self.tokens(&kept)?;
        match tokens.len() <= room {
            true => Ok(tokens),
            false => Err(AnswerError::TooLong {
                n: tokens.len(),
                room,
            }),
        }
    }

    fn tokens(&self, messages: &[Message]) -> Result<Vec<u32>, AnswerError> {
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

    /// Brings the state to the end of `prompt`, unless it is ended; how many tokens were known, and whether all
    /// was read.
    fn read(&mut self, prompt: &[u32], say: &mut dyn FnMut(&str) -> bool) -> (usize, bool) {
        let known = self.state.tokens().iter().zip(prompt);
        let n_known = known.take_while(|(a, b)| a == b).count();
        // The last token is read again: what follows it is wanted.
        let n_known = n_known.min(prompt.len().saturating_sub(1));
        self.state.truncate(n_known);
        for batch in prompt[n_known..].chunks(MAX_BATCH) {
            if !say("") {
                return (n_known, false);
            }
            self.model.forward(&self.exec, batch, &mut self.state);
        }
        (n_known, !prompt.is_empty())
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
    fn characters_come_whole() {
        let mut speech = Speech::default();
        assert_eq!(speech.add("aé".as_bytes()), "aé");
        assert_eq!(speech.add(&"場".as_bytes()[..2]), "");
        assert_eq!(speech.add(&"場b".as_bytes()[2..]), "場b");
        assert_eq!(speech.add(&[0xff, b'c', 0xe5]), "\u{fffd}c");
        assert_eq!(speech.rest(), "\u{fffd}");
    }
}
