//! The next token of an answer: the sampler within what is allowed.

use super::Llama;
use super::Wanted;
use super::generate::{AnswerError, Asking};
use super::grammar::Constraint;
use super::sampler::Sampler;
use crate::text::LlamaTokenizer;

/// Chooses token after token.
pub(super) struct Choice<'a> {
    sampler: Sampler,
    constraint: Option<&'a mut Constraint>,
    n_vocab: usize,
    /// The tokens that end an answer, sorted.
    ends: Vec<u32>,
    /// What may come next, the ends included; up to date for the present place.
    allowed: Vec<u32>,
    is_current: bool,
}

impl<'a> Choice<'a> {
    pub(super) fn new(asking: Asking<'a>, model: &Llama, tokenizer: &LlamaTokenizer) -> Self {
        let n_vocab = model.dims().n_vocab;
        let constraint = asking.constraint;
        let ends = match &constraint {
            Some(_) => (0..n_vocab as u32)
                .filter(|token| tokenizer.is_end(*token))
                .collect(),
            None => Vec::new(),
        };
        Choice {
            sampler: Sampler::new(asking.sampling, n_vocab),
            constraint,
            n_vocab,
            ends,
            allowed: Vec::new(),
            is_current: false,
        }
    }

    /// Whether anything may be written.
    pub(super) fn is_free(&self) -> bool {
        self.constraint.is_none()
    }

    /// Finds out what may come next.
    fn update(&mut self) -> Result<(), AnswerError> {
        let Some(constraint) = &mut self.constraint else {
            return Ok(());
        };
        if self.is_current {
            return Ok(());
        }
        let allowed = constraint.allowed()?;
        self.allowed.clear();
        self.allowed.extend_from_slice(allowed.tokens());
        if allowed.may_end() {
            self.allowed.extend_from_slice(&self.ends);
            self.allowed.sort_unstable();
        }
        // The tokens may be another model's.
        let n_known = self
            .allowed
            .partition_point(|token| (*token as usize) < self.n_vocab);
        self.allowed.truncate(n_known);
        if self.allowed.is_empty() {
            return Err(AnswerError::Stuck);
        }
        self.is_current = true;
        Ok(())
    }

    /// The logits that the next choice needs: where little is allowed, only those.
    pub(super) fn wanted(&mut self) -> Result<Wanted<'_>, AnswerError> {
        self.update()?;
        let is_narrow = !self.is_free() && self.allowed.len() < self.n_vocab / 4;
        Ok(match is_narrow {
            true => Wanted::Of(&self.allowed),
            false => Wanted::Rows(1),
        })
    }

    /// The token that follows `said`, from that row of logits.
    pub(super) fn choose(
        &mut self,
        logits: &[f32],
        row: usize,
        said: &[u32],
    ) -> Result<u32, AnswerError> {
        self.update()?;
        let logits = &logits[row * self.n_vocab..][..self.n_vocab];
        let allowed = (!self.is_free()).then_some(&self.allowed[..]);
        let token = self.sampler.choose(logits, said, allowed);
        token.ok_or(AnswerError::NoNumbers)
    }

    /// The only token that may come next, if there is but one, and it is text.
    pub(super) fn forced(&mut self) -> Result<Option<u32>, AnswerError> {
        self.update()?;
        Ok(match self.allowed[..] {
            [token] if !self.is_free() && !self.ends.contains(&token) => Some(token),
            _ => None,
        })
    }

    /// Whether nothing but the end may come.
    pub(super) fn is_over(&mut self) -> Result<bool, AnswerError> {
        self.update()?;
        let only_ends = self.allowed.iter().all(|token| self.ends.contains(token));
        Ok(!self.is_free() && only_ends)
    }

    /// That token is written.
    pub(super) fn take(&mut self, token: u32) -> Result<(), AnswerError> {
        if let Some(constraint) = &mut self.constraint {
            let is_allowed = constraint.accept(token)?;
            debug_assert!(is_allowed, "a token that was not allowed");
            self.is_current = false;
        }
        Ok(())
    }
}
