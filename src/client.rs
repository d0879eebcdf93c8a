//! One person at one office's API.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long the story waits for the other side.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call that the office refused.
#[derive(Debug, thiserror::Error)]
#[error("{}", .body.get("title").and_then(Value::as_str).map_or_else(|| format!("{path} was refused: {body}"), str::to_owned))]
pub(crate) struct Refused {
    path: String,
    /// The HTTP status.
    pub(crate) status: u16,
    body: Value,
}

#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Refused {
    /// Whether the account has a second factor, and no code was given.
    pub(crate) fn needs_code(&self) -> bool {
        is(&self.body, "type", "sign-in-code-needed")
    }
}

impl Client {
    pub(crate) async fn sign_in(address: SocketAddr, name: &str, password: &str, code: &str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let base = format!("http://{address}/api/v1");
        let mut client = Self { http, base, token: String::new() };
        let session = client.post("/sign-in", json!({ "name": name, "password": password, "code": code })).await?;
        client.token = text(&session, "token")?;
        Ok(client)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.send(self.http.get(format!("{}{path}", self.base)), path).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.send(self.http.post(format!("{}{path}", self.base)).json(&body), path).await
    }

    /// The status and answer of a call that is expected to be refused.
    pub(crate) async fn refused(&self, path: &str, body: Value) -> Result<(u16, Value)> {
        let request = self.http.post(format!("{}{path}", self.base)).json(&body).bearer_auth(&self.token);
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    async fn send(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Value> {
        let response = request.bearer_auth(&self.token).send().await?;
        let status = response.status();
        let body: Value = response.json().await.with_context(|| format!("{path} gave no JSON"))?;
        if !status.is_success() {
            return Err(Refused { path: path.to_owned(), status: status.as_u16(), body }.into());
        }
        Ok(body)
    }

    /// Makes something; its id.
    pub(crate) async fn make(&self, path: &str, body: Value) -> Result<String> {
        text(&self.post(path, body).await?, "id")
    }

    /// Asks again and again until something holds.
    pub(crate) async fn wait(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let start = Instant::now();
        loop {
            let value = self.get(path).await?;
            if holds(&value) {
                return Ok(value);
            }
            if start.elapsed() > PATIENCE {
                bail!("waited in vain: {what}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A text of an answer.
pub(crate) fn text(value: &Value, key: &str) -> Result<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("no {key:?} in {value}"))
}

/// Whether a field of an answer has that text.
pub(crate) fn is(value: &Value, key: &str, expected: &str) -> bool {
    value.get(key).and_then(Value::as_str) == Some(expected)
}

/// Whether a field of an answer is there and not null.
pub(crate) fn has(value: &Value, key: &str) -> bool {
    value.get(key).is_some_and(|found| !found.is_null())
}
