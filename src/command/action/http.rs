//! Sends an HTTP request: `{ http = "http://hue.local/lights/{room}", json = { on = "{state:bool}" } }`.
//!
//! Values of slots are percent-encoded in the address and cannot leave their place in it. An answer
//! other than 2xx is a failure; redirections are not followed, since they would send what was meant
//! for one server to another.

use std::path::PathBuf;

use thiserror::Error;

use super::job::{Attempt, Ended, Job};
use super::net;
use super::payload::Payload;
use super::secret::Secret;
use super::slots::{SlotError, Slots, fill_as, has_slots, mention};
use super::{ActionError, Deed};

/// A request to send.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The address, with slots behind its host.
    pub url: String,
    /// Headers, with slots in their values.
    pub headers: Vec<(String, String)>,
    /// What is sent with it.
    pub body: Option<Payload>,
    /// A token for the header `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// Certificates to trust instead of the public ones, in a PEM file.
    pub ca_file: Option<PathBuf>,
}

/// Why an address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// No HTTP.
    #[error("an address that begins with http:// or https://")]
    Scheme,
    /// No host, or one that cannot be.
    #[error("an address with a host, as in http://192.168.1.7:8123/api")]
    Host,
    /// A slot decides whom to talk to.
    #[error("an address with slots behind the host only")]
    SlotInHost,
    /// A password that `hark commands list` would print.
    #[error("an address without a password; write it into a header or a token_file")]
    Password,
    /// A blank or control character.
    #[error("an address without blanks; write %20 for them")]
    Blank,
}

impl HttpRequest {
    /// Checks an address as it is written.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn check_url(url: &str) -> Result<(), UrlError> {
        if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::Blank);
        }
        let (scheme, authority, _) = parts(url).ok_or(UrlError::Scheme)?;
        if has_slots(authority) {
            return Err(UrlError::SlotInHost);
        }
        if authority.contains('@') {
            return Err(UrlError::Password);
        }
        let default = if scheme == "https" { 443 } else { 80 };
        net::host_and_port(authority, Some(default))
            .map(drop)
            .ok_or(UrlError::Host)
    }

    /// The address with these slots filled in.
    fn filled_url(&self, slots: &Slots) -> Result<String, SlotError> {
        let (scheme, authority, rest) = parts(&self.url).unwrap_or_default();
        let (path, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let mut url = format!("{scheme}://{authority}");
        for segment in path.split_inclusive('/') {
            let filled = fill_as(segment, slots, |value| Ok(encoded(value)))?;
            // "." and ".." are where the rest of the path begins, however they are written.
            if has_slots(segment) && [".", ".."].contains(&filled.trim_end_matches('/')) {
                let mut names = Vec::new();
                mention(segment, &mut names);
                let slot = names.first().map_or("", String::as_str);
                return Err(SlotError::new(slot, &filled, "would change the path"));
            }
            url.push_str(&filled);
        }
        url.push_str(&fill_as(query, slots, |value| Ok(encoded(value)))?);
        Ok(url)
    }
}

/// Scheme, host with port, and the rest of an address.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    ["http", "https"]
        .contains(&scheme)
        .then_some((scheme, authority, rest))
}

/// `value` with every byte but letters, digits, `-`, `.`, `_` and `~` as `%XX` (RFC 3986, 2.3).
fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A value in a header: anything on one line.
fn in_header(value: &str) -> Result<String, &'static str> {
    match value.contains(char::is_control) {
        true => Err("has a line break or control character, and stands in a header"),
        false => Ok(value.to_owned()),
    }
}

impl Deed for HttpRequest {
    fn mention(&self, to: &mut Vec<String>) {
        mention(&self.url, to);
        self.headers
            .iter()
            .for_each(|(_, value)| mention(value, to));
        if let Some(body) = &self.body {
            body.mention(to);
        }
    }

    fn line(&self, slots: Option<&Slots>) -> Result<Vec<String>, SlotError> {
        // Headers are left out: they hold passwords.
        let (url, body) = match slots {
            Some(slots) => {
                let body = self.body.as_ref().map(|body| body.fill(slots));
                (self.filled_url(slots)?, body.transpose()?)
            }
            None => (self.url.clone(), self.body.as_ref().map(Payload::template)),
        };
        let line = [self.method.clone(), url].into_iter();
        Ok(line.chain(body).collect())
    }

    fn run(&self, job: &Job, attempt: &Attempt<'_>) -> Ended {
        let sent = self.prepare(&job.slots).and_then(|prepared| {
            let deadline = attempt.deadline;
            net::apart(attempt, move || prepared.send(deadline))
        });
        sent.unwrap_or_else(|error| Ended::badly(error, String::new()))
    }

    fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        let (scheme, authority, _) = parts(&self.url).unwrap_or_default();
        let host = net::host_and_port(authority, Some(80)).map(|(host, _)| host);
        if let Some(host) = host.filter(|host| scheme == "http" && !net::is_near(host)) {
            lacks.push(format!(
                "what is sent to {host} can be read on the way; use https:// if it can"
            ));
        }
        lacks.extend(self.token.as_ref().and_then(Secret::lacks));
        if let Some(path) = self.ca_file.as_deref().filter(|path| !path.is_file()) {
            lacks.push(format!("there is no file {}", path.display()));
        }
        lacks
    }
}

/// A request with everything filled in.
#[cfg_attr(not(feature = "http"), allow(dead_code))]
struct Prepared {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    ca_file: Option<PathBuf>,
}

impl HttpRequest {
    fn prepare(&self, slots: &Slots) -> Result<Prepared, ActionError> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            headers.push((name.clone(), fill_as(value, slots, in_header)?));
        }
        let has = |name: &str| {
            self.headers
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        let content_type = match &self.body {
            Some(Payload::Json(_)) => Some("application/json"),
            Some(Payload::Text(_)) => Some("text/plain; charset=utf-8"),
            None => None,
        };
        if let Some(kind) = content_type.filter(|_| !has("content-type")) {
            headers.push(("content-type".to_owned(), kind.to_owned()));
        }
        if let Some(token) = &self.token {
            let value = format!("Bearer {}", token.read()?);
            headers.push(("authorization".to_owned(), value));
        }
        let body = self.body.as_ref().map(|body| body.fill(slots));
        Ok(Prepared {
            method: self.method.clone(),
            url: self.filled_url(slots)?,
            headers,
            body: body.transpose()?,
            ca_file: self.ca_file.clone(),
        })
    }
}

#[cfg(not(feature = "http"))]
impl Prepared {
    fn send(self, _: std::time::Instant) -> Result<Ended, ActionError> {
        Err(ActionError::NoFeature("http"))
    }
}

#[cfg(feature = "http")]
mod send {
    use std::io::Read;
    use std::path::Path;
    use std::time::Instant;

    use ureq::http::{HeaderValue, Request, Response, header};
    use ureq::tls::{PemItem, RootCerts, TlsConfig};

    use super::super::net::{MAX_ANSWER_BYTES, left, remote};
    use super::*;

    impl Prepared {
        /// Sends it and reads the answer, until `deadline`.
        pub(super) fn send(self, deadline: Instant) -> Result<Ended, ActionError> {
            // Neither path nor query: they may hold what nobody should read in a log.
            let host = parts(&self.url).map_or("", |(_, authority, _)| authority);
            let failed = |error: ureq::Error| match error {
                ureq::Error::Timeout(_) => ActionError::TimedOut,
                ureq::Error::Io(error) => net::io_error(host, &error),
                other => remote(host, other),
            };
            let agent = self.agent(host, deadline)?;
            let mut request = Request::builder()
                .method(self.method.as_str())
                .uri(self.url.as_str());
            for (name, value) in &self.headers {
                let value = HeaderValue::from_bytes(value.as_bytes());
                request = request.header(name, value.map_err(|e| remote(host, e))?);
            }
            let built = |error: ureq::http::Error| remote(host, error);
            let response = match self.body {
                Some(body) => agent.run(request.body(body).map_err(built)?),
                None if ["POST", "PUT", "PATCH"].contains(&self.method.as_str()) => {
                    agent.run(request.body(String::new()).map_err(built)?)
                }
                None => agent.run(request.body(()).map_err(built)?),
            };
            answer(host, response.map_err(failed)?)
        }

        fn agent(&self, host: &str, deadline: Instant) -> Result<ureq::Agent, ActionError> {
            let mut tls = TlsConfig::builder();
            if let Some(path) = &self.ca_file {
                tls = tls.root_certs(roots(path).map_err(|reason| remote(host, reason))?);
            }
            let left = left(deadline).map_err(|error| net::io_error(host, &error))?;
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                // Whom to talk to is for the configuration to say, not for the environment.
                .proxy(None)
                .tls_config(tls.build())
                .timeout_global(Some(left))
                .user_agent(concat!("hark/", env!("CARGO_PKG_VERSION")));
            Ok(config.build().into())
        }
    }

    /// The certificates in a PEM file.
    fn roots(path: &Path) -> Result<RootCerts, String> {
        let pem = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut certificates = Vec::new();
        for item in ureq::tls::parse_pem(&pem) {
            if let PemItem::Certificate(certificate) =
                item.map_err(|e| format!("{}: {e}", path.display()))?
            {
                certificates.push(certificate);
            }
        }
        match certificates.is_empty() {
            true => Err(format!("{} has no certificates", path.display())),
            false => Ok(RootCerts::new_with_certs(&certificates)),
        }
    }

    /// What the server makes of it; a success is any 2xx.
    fn answer(host: &str, response: Response<ureq::Body>) -> Result<Ended, ActionError> {
        let status = response.status();
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok().map(str::to_owned));
        let mut body = Vec::new();
        let read = (response.into_body().into_reader())
            .take(MAX_ANSWER_BYTES)
            .read_to_end(&mut body);
        let output = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            // The request has been carried out; how its answer ends changes nothing.
            return Ok(Ended::well(output));
        }
        read.map_err(|error| net::io_error(host, &error))?;
        let meaning = status.canonical_reason().unwrap_or("no standard answer");
        let more = match location.filter(|_| status.is_redirection()) {
            Some(location) => format!("; it is now at {location}"),
            None => match output.lines().find(|line| !line.trim().is_empty()) {
                Some(line) => format!(": {}", super::super::beginning(line.trim(), 200)),
                None => String::new(),
            },
        };
        let reason = format!("status {} ({meaning}){more}", status.as_u16());
        Ok(Ended::badly(remote(host, reason), output))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filled(url: &str, value: &str) -> Result<String, SlotError> {
        let request = HttpRequest {
            url: url.to_owned(),
            ..HttpRequest::default()
        };
        request.filled_url(&Slots::from([("x".to_owned(), value.to_owned())]))
    }

    #[test]
    fn values_stay_in_their_place_of_the_address() {
        let url = "http://h:1/a/{x}/b?q={x}&r=1";
        for (value, encoded) in [
            ("living room", "living%20room"),
            ("a/../b", "a%2F..%2Fb"),
            ("x&y=1#z?", "x%26y%3D1%23z%3F"),
            ("é\n\0", "%C3%A9%0A%00"),
            ("%2e", "%252e"),
            ("; rm -rf \"", "%3B%20rm%20-rf%20%22"),
        ] {
            let expected = format!("http://h:1/a/{encoded}/b?q={encoded}&r=1");
            assert_eq!(filled(url, value).unwrap(), expected);
        }
        for value in [".", ".."] {
            let error = filled(url, value).unwrap_err();
            assert!(error.to_string().contains("would change the path"));
        }
        assert_eq!(filled("http://h/?q={x}", "..").unwrap(), "http://h/?q=..");
    }

    #[test]
    fn addresses_are_checked_as_written() {
        for url in [
            "http://h",
            "https://h:1/{x}",
            "http://[::1]:8/",
            "http://h?x={x}",
        ] {
            assert_eq!(HttpRequest::check_url(url), Ok(()), "{url}");
        }
        for (url, error) in [
            ("ftp://h/", UrlError::Scheme),
            ("h/x", UrlError::Scheme),
            ("http:///x", UrlError::Host),
            ("http://h:port/", UrlError::Host),
            ("http://{x}/", UrlError::SlotInHost),
            ("http://a{x}.lan:80/", UrlError::SlotInHost),
            ("http://me:pw@h/", UrlError::Password),
            ("http://h/a b", UrlError::Blank),
        ] {
            assert_eq!(HttpRequest::check_url(url), Err(error), "{url}");
        }
    }
}
