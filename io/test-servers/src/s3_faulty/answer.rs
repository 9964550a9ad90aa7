//! Answers, as XML and in other manners.

use bytes::Bytes;

use super::{Refusal, encoding::xml, fault::Shape};

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const NAMESPACE: &str = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

/// What is answered, before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<Bytes>,
    /// The error's code, if it is one.
    pub(super) code: Option<String>,
    /// What `Content-Length` says when there is no body, as for HEAD.
    pub(super) length: Option<u64>,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), code: None, length: None }
    }

    /// 200 with XML, whose root is `root` and holds `inner`.
    pub(super) fn xml(root: &str, inner: &str) -> Self {
        let mut answer = Self::new(200).header("content-type", "application/xml");
        answer.body = vec![format!("{DECLARATION}<{root}{NAMESPACE}>{inner}</{root}>").into()];
        answer
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn refused(refusal: &Refusal, resource: &str, request_id: &str) -> Self {
        let mut answer = Self::new(refusal.status).header("content-type", "application/xml");
        answer.headers.extend(refusal.headers.iter().cloned());
        let mut inner = element("Code", &refusal.code);
        if let Some(message) = &refusal.message {
            inner += &element("Message", message);
        }
        for (name, value) in &refusal.elements {
            inner += &element(name, value);
        }
        if refusal.request_id {
            inner += &element("Resource", resource);
            inner += &element("RequestId", request_id);
            inner += &element("HostId", "faulty");
        }
        answer.body = vec![format!("{DECLARATION}<Error>{inner}</Error>").into()];
        answer.code = Some(refusal.code.clone());
        answer
    }

    /// Told in another manner.
    pub(super) fn shaped(mut self, shape: Shape) -> Self {
        self.shape_headers(shape);
        let is_xml = self.headers.iter().any(|(_, value)| value == "application/xml");
        if is_xml && let Ok(text) = String::from_utf8(self.body.concat()) {
            self.body = vec![shaped_xml(&text, shape).into()];
        }
        if shape == Shape::EmptyBody {
            self.body.clear();
        }
        self
    }

    fn shape_headers(&mut self, shape: Shape) {
        if shape == Shape::EtagMissing {
            self.headers.retain(|(name, _)| name != "etag");
        }
        for (name, value) in &mut self.headers {
            match shape {
                Shape::EtagBare if name == "etag" => *value = value.replace('"', ""),
                Shape::EtagEmpty if name == "etag" => value.clear(),
                Shape::EtagOther if name == "etag" => *value = quoted("another"),
                _ => {}
            }
        }
    }
}

/// An element that holds text.
pub(super) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", xml(text))
}

/// An ETag's element, with its quotes.
pub(super) fn etag_element(etag: &str) -> String {
    element("ETag", &quoted(etag))
}

pub(super) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn shaped_xml(text: &str, shape: Shape) -> String {
    match shape {
        Shape::EtagBare => text.replace("&quot;", ""),
        Shape::EtagEscaped => text.replace("&quot;", "&#34;"),
        Shape::EtagPlain => text.replace("&quot;", "\""),
        Shape::EtagEmpty => with_etags(text, "<ETag></ETag>"),
        Shape::EtagMissing => with_etags(text, ""),
        Shape::NoNamespace => text.replace(NAMESPACE, ""),
        Shape::Prefixed => prefixed(text),
        Shape::EtagOther
        | Shape::EmptyBody
        | Shape::Chunked
        | Shape::Continue
        | Shape::UntilClose => text.to_owned(),
    }
}

fn with_etags(text: &str, etag: &str) -> String {
    let mut shaped = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<ETag>") {
        shaped += before;
        shaped += etag;
        rest = after.split_once("</ETag>").map_or("", |(_, rest)| rest);
    }
    shaped + rest
}

/// Text holds no `<`, so each begins a tag.
fn prefixed(text: &str) -> String {
    let body = text.strip_prefix(DECLARATION).unwrap_or(text);
    let body = body.replace("</", "\u{0}").replace('<', "<s3:").replace('\u{0}', "</s3:");
    format!("{DECLARATION}{}", body.replace(" xmlns=", " xmlns:s3="))
}

#[test]
fn shapes_change_what_they_name() {
    let answer = Answer::xml("R", &etag_element("e")).header("etag", "\"e\"");
    let text = |shape| String::from_utf8(answer.clone().shaped(shape).body.concat()).unwrap();
    assert!(text(Shape::EtagEscaped).contains("<ETag>&#34;e&#34;</ETag>"));
    assert!(text(Shape::EtagEmpty).contains("<ETag></ETag></R>"));
    assert!(text(Shape::EtagBare).contains("<ETag>e</ETag>"));
    assert!(text(Shape::Prefixed).contains("<s3:ETag>&quot;e&quot;</s3:ETag></s3:R>"));
    assert!(text(Shape::Prefixed).contains("<s3:R xmlns:s3="));
    assert!(text(Shape::NoNamespace).contains("<R><ETag>"));
    assert_eq!(text(Shape::EmptyBody), "");
    let bare = answer.shaped(Shape::EtagBare);
    assert!(bare.headers.contains(&("etag".into(), "e".into())));
}
