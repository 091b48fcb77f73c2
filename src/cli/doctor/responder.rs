//! The language model that answers: whether it is there, can be read, and has room.

use super::report::Check;
use crate::cli::Failure;
use crate::cli::language::megabytes_for;
use crate::cli::setup::Setup;
use crate::error::Kind;
use crate::format::LlamaFile;
use crate::models;

const NAME: &str = "responder";

/// One check, if something is to answer.
pub(super) fn checks(setup: &Setup) -> Option<Check> {
    let options = &setup.config.responder;
    options
        .enabled
        .then(|| check(setup).unwrap_or_else(|failed| failed))
}

fn check(setup: &Setup) -> Result<Check, Check> {
    let options = &setup.config.responder;
    let name = options.model.as_str();
    let path = models::resolve(name).map_err(|error| {
        let advice =
            format!("fetch it: hark models pull {name}; or name another in responder.model");
        Check::fail(NAME, Kind::Model, error.to_string(), advice)
    })?;
    let file = LlamaFile::open(&path).map_err(|error| {
        let advice = "fetch it again, or name another in responder.model";
        Check::failed(NAME, &Failure::from(error), advice)
    })?;
    let texts = (options.context_tokens, options.kv);
    let needed = megabytes_for(&file, None, texts).map_err(|failure| {
        let advice = "choose a smaller model, or a shorter responder.context_tokens";
        Check::failed(NAME, &failure, advice)
    })?;
    Ok(Check::ok(NAME, format!("{name}, about {needed} MB")))
}
