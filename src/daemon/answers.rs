//! The responder among the daemon's threads: what it says becomes replies, and its sentences are spoken one by one.
//!
//! In: what the control stage wants answered. Out: what comes of it, on a channel; and sentences, as soon as they
//! are whole.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Shared;
use super::priority::{Priority, set_priority};
use crate::respond::{Manners, Question, Responder, ResponderSetup, Said, Sentences};

/// Pieces of answers on their way to the caller: more than an answer has.
pub(super) const N_SAID: usize = 4096;

/// The responder, and what it is saying.
pub(super) struct Answers {
    responder: Option<Responder>,
    /// The question whose answer is spoken.
    of: Option<u64>,
    sentences: Sentences,
    said: Sender<Said>,
}

impl Answers {
    /// With that responder, if it is one; none either when the system gives it no thread. And where it says
    /// something.
    pub(super) fn new(
        setup: Option<&ResponderSetup>,
        shared: &Arc<Shared>,
    ) -> (Self, Receiver<Said>) {
        let (said, heard) = bounded(N_SAID);
        let mut answers = Answers {
            responder: None,
            of: None,
            sentences: Sentences::default(),
            said,
        };
        answers.renew(setup, shared);
        (answers, heard)
    }

    /// Another responder takes over, unless it is the same one.
    pub(super) fn renew(&mut self, setup: Option<&ResponderSetup>, shared: &Arc<Shared>) {
        self.stop();
        match (&mut self.responder, setup) {
            (Some(known), Some(setup)) if known.setup() == setup => return,
            (Some(known), Some(setup)) if known.setup().has_model_of(setup) => {
                return known.renew(setup);
            }
            _ => {}
        }
        self.responder = setup.and_then(|setup| {
            let (said, shared) = (self.said.clone(), shared.clone());
            let report = move |what: Said| {
                if said.try_send(what).is_err() {
                    log::warn!("nobody took a piece of an answer");
                }
            };
            let manners = Manners {
                settle: || set_priority(Priority::Background),
                busy: Arc::new(move || shared.health.recogniser_is_at_work()),
            };
            let responder = Responder::new(setup, manners, Arc::new(report));
            responder
                .inspect_err(|error| log::error!("nothing can be answered: {error}"))
                .ok()
        });
    }

    /// This will probably be asked.
    pub(super) fn foresee(&self, question: Question) {
        if let Some(responder) = &self.responder {
            responder.foresee(question);
        }
    }

    /// Whether an answer is not over.
    pub(super) fn is_open(&self) -> bool {
        self.of.is_some()
    }

    /// Whether that belongs to the question whose answer is wanted, which is over with its end.
    pub(super) fn is_wanted(&mut self, said: &Said) -> bool {
        let (id, is_end) = match said {
            Said::Piece { id, .. } => (*id, false),
            Said::Done { id } | Said::Call { id, .. } | Said::Failed { id, .. } => (*id, true),
        };
        let is_wanted = self.of == Some(id);
        if is_wanted && is_end {
            self.of = None;
        }
        is_wanted
    }

    /// This is asked; whether there is anybody to answer.
    pub(super) fn ask(&mut self, question: Question) -> bool {
        self.sentences = Sentences::default();
        self.of = Some(question.id);
        match &self.responder {
            Some(responder) => responder.ask(question),
            None => {
                self.of = None;
                return false;
            }
        }
        true
    }

    /// No answer is wanted any more. Pieces that are on their way are not spoken.
    pub(super) fn stop(&mut self) {
        self.sentences = Sentences::default();
        self.of = None;
        if let Some(responder) = &self.responder {
            responder.drop_question();
        }
    }

    /// Ends the responder, as soon as it can.
    pub(super) fn end(&mut self) {
        self.stop();
        self.responder = None;
    }

    /// What is to be spoken with a piece of the answer that is wanted: the sentence that it makes whole, if it does.
    pub(super) fn sentence(&mut self, said: &Said) -> Option<String> {
        match said {
            Said::Piece { text, .. } => self.sentences.push(text),
            Said::Done { .. } => self.sentences.finish(),
            Said::Call { .. } | Said::Failed { .. } => None,
        }
    }
}
