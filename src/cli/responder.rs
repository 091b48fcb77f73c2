//! What answers in the daemon and in replay: the configured language model, and what it may call.

use std::sync::{Arc, Mutex, PoisonError};

use super::Failure;
use super::language::Language;
use super::setup::Setup;
use crate::command::Grammar;
use crate::command::sample::Sampler;
use crate::llama::Answerer;
use crate::respond::{Callable, Calls, ResponderOptions, ResponderSetup};

/// Sentences of which the shortest is an example.
const N_SAMPLES: usize = 8;

/// The responder of a configuration, if one is wanted, its model loaded; `known` is one whose model is loaded
/// already.
pub(crate) fn responder(
    setup: &Setup,
    known: Option<&ResponderSetup>,
) -> Result<Option<ResponderSetup>, Failure> {
    let options = &setup.config.responder;
    if !options.enabled {
        return Ok(None);
    }
    let wanted = ResponderSetup {
        options: options.clone(),
        load: load_again(setup),
        callable: callable(options, &setup.config.commands.grammar),
    };
    if let Some(known) = known.filter(|known| known.has_model_of(&wanted)) {
        let load = known.load.clone();
        return Ok(Some(ResponderSetup { load, ..wanted }));
    }
    // What is wrong with the model is said before anybody speaks.
    let first = Mutex::new(Some(load(setup)?));
    let again = wanted.load;
    let load = Arc::new(move || {
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.map_or_else(|| again(), Ok)
    });
    Ok(Some(ResponderSetup { load, ..wanted }))
}

fn load(setup: &Setup) -> Result<Answerer, Failure> {
    let options = &setup.config.responder;
    let Language {
        model,
        tokenizer,
        chat,
        exec,
    } = Language::of(
        setup,
        &options.model,
        (options.context_tokens, options.kv),
        None,
    )?;
    let room = (options.context_tokens, options.max_tokens);
    Ok(Answerer::new(model, tokenizer, chat, exec, room).with_kv(options.kv))
}

fn load_again(setup: &Setup) -> crate::respond::Load {
    let setup = setup.clone();
    Arc::new(move || load(&setup).map_err(|failure| failure.to_string()))
}

/// What the model may call, with an example of each command.
fn callable(options: &ResponderOptions, grammar: &Grammar) -> Callable {
    if options.calls == Calls::Never {
        return Callable::default();
    }
    let mut sampler = Sampler::new(grammar, 0);
    let example = |command: usize| {
        let samples = (0..N_SAMPLES).filter_map(|_| sampler.sentence(command));
        samples.map(|sampled| sampled.text).min_by_key(String::len)
    };
    Callable {
        examples: (0..grammar.n_commands()).filter_map(example).collect(),
        rules: grammar.gbnf(),
    }
}
