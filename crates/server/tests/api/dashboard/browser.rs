//! A browser as far as these tests need one: it keeps cookies, says where its forms come from, and follows nothing.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};

use crate::support::{PASSWORD, Reply, Server};

pub(super) struct Browser<'a> {
    server: &'a Server,
    http: reqwest::Client,
    pub(super) cookies: BTreeMap<String, String>,
    /// Sent with everything, over what it would send by itself.
    pub(super) headers: HeaderMap,
}

// === impl Browser ===

impl<'a> Browser<'a> {
    pub(super) fn new(server: &'a Server) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            server,
            http,
            cookies: BTreeMap::new(),
            headers: HeaderMap::new(),
        }
    }

    /// Signed in through the form.
    pub(super) async fn signed_in(server: &'a Server, email: &str) -> Self {
        let mut browser = Self::new(server);
        let page = browser.get("/login").await;
        let reply = browser.sign_in(&page, email).await;
        assert_eq!(reply.status, 303, "{reply:?}");
        browser
    }

    /// Sends the form of the page.
    pub(super) async fn sign_in(&mut self, page: &Reply, email: &str) -> Reply {
        let next = value(page, "next").unwrap_or_default();
        let fields = [("email", email), ("password", PASSWORD), ("next", &next)];
        self.submit(page, "/login", &fields).await
    }

    pub(super) async fn get(&mut self, path: &str) -> Reply {
        let request = self.http.get(format!("{}{path}", self.server.base()));
        self.send(request.header("accept", "text/html")).await
    }

    /// A form of a page, with the token that is on it.
    pub(super) async fn submit(&mut self, page: &Reply, path: &str, fields: &[(&str, &str)]) -> Reply {
        let csrf = value(page, "csrf").unwrap();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(fields);
        self.post(path, &all).await
    }

    /// The page at `path`, and its form sent with these fields.
    pub(super) async fn fill(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let page = self.get(path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        self.submit(&page, path, fields).await
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let base = self.server.base();
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = self
            .http
            .post(format!("{base}{path}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", base)
            .header("sec-fetch-site", "same-origin")
            .body(body);
        self.send(request).await
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Reply {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = request.header(COOKIE, cookies.join("; ")).build().unwrap();
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let response = self.http.execute(request).await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let (pair, rest) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub(super) fn session(&self) -> &str {
        &self.cookies["coder_session"]
    }
}

/// The value of the first field of this name.
pub(super) fn value(page: &Reply, name: &str) -> Option<String> {
    let (_, rest) = page.text.split_once(&format!("name=\"{name}\" value=\""))?;
    Some(rest.split('"').next()?.replace("&#38;", "&"))
}

/// What stands in the copy box of this id.
pub(super) fn copied(page: &Reply, id: &str) -> String {
    let (_, rest) = page.text.split_once(&format!("<pre id=\"{id}\"")).unwrap();
    let (_, rest) = rest.split_once('>').unwrap();
    rest.split('<').next().unwrap().to_owned()
}

pub(super) fn location(reply: &Reply) -> &str {
    assert_eq!(reply.status, 303, "{reply:?}");
    reply.headers[LOCATION].to_str().unwrap()
}
