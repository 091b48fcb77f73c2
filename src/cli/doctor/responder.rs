//! The language model that answers: whether it is there, can be read, and has room.

use super::machine::available_bytes;
use super::report::Check;
use crate::cli::Failure;
use crate::cli::setup::Setup;
use crate::error::Kind;
use crate::format::LlamaFile;
use crate::llama::Memory;
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
    let n_ctx = options.context_tokens.min(file.dims().n_ctx);
    let needed = Memory::with_kv(&file, None, options.kv).bytes(n_ctx) as u64;
    let found = format!("{name}, about {} MB", needed / 1_000_000);
    match available_bytes() {
        Some(available) if needed > available => {
            let found = format!("{found}, {} MB are available", available / 1_000_000);
            let advice = "choose a smaller model, or a shorter responder.context_tokens";
            Err(Check::fail(NAME, Kind::Model, found, advice))
        }
        _ => Ok(Check::ok(NAME, found)),
    }
}
