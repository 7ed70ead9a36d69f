//! What is documented of the questions, from their table: `docs/openapi.json` and `docs/api.md`.

use std::fmt::Write as _;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::asked::{Form, Param};
use super::reply::{FOLLOWING, Ty};
use super::span::EXPECTED;
use super::viewer::COOKIE;
use super::{Field, How, Question, questions};

/// The document as it is kept; a test compares it with [`document`].
const KEPT: &str = include_str!("../../../../docs/openapi.json");

/// `GET /api/v1/openapi.json`, for everybody.
pub async fn answer() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], KEPT).into_response()
}

/// The OpenAPI document of all questions, as it is kept.
pub fn document() -> String {
    let paths: Map<String, Value> = questions()
        .map(|question| {
            (
                format!("/api/v1/{}", question.path),
                json!({"get": operation(question)}),
            )
        })
        .collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "afmetrics_receiver",
            "version": "1",
            "description": "What is kept of the documents of afmetrics collectors. Times are RFC 3339, UTC.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A viewer's token."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by POST /login; over HTTPS it is called __Host-afmetrics_viewer."},
            },
            "schemas": {"Error": {
                "type": "object",
                "required": ["error"],
                "properties": {"error": {"type": "string", "description": "Why, in a sentence."}},
            }},
        },
        "security": [{"bearer": []}, {"cookie": []}],
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn operation(question: &Question) -> Value {
    let parameters: Vec<Value> = question.params.iter().map(parameter).collect();
    let error = |why: &str| json!({"description": why, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
    let mut operation = json!({
        "operationId": question.path,
        "summary": question.summary,
        "description": question.about,
        "parameters": parameters,
        "responses": {
            "200": {"description": "The answer.", "content": content(question)},
            "400": error("A parameter is wrong: which, and what was expected."),
            "401": error("No token, or none that is good."),
            "403": error("The token is for reading another facility."),
            "404": error("Nothing was heard of what a parameter names."),
            "429": error("Too many wrong tokens came from the address; a right one is let in."),
            "503": error("The answer takes too long, or too many are asking."),
        },
    });
    if let How::Documents = question.answer {
        operation["responses"]["406"] = error("The header Accept names text/csv first.");
    }
    operation
}

fn parameter(param: &Param) -> Value {
    let schema = match param.form {
        Form::Text | Form::Name => json!({"type": "string"}),
        Form::Time(default) => json!({"type": "string", "default": default}),
        Form::Words(words) | Form::Needed(words) => json!({"type": "string", "enum": words}),
        Form::OneOf(words) => json!({"type": "string", "enum": words, "default": words[0]}),
        Form::Number { default: 0, most } => {
            json!({"type": "integer", "minimum": 1, "maximum": most})
        }
        Form::Number { default, most } => {
            json!({"type": "integer", "minimum": 1, "maximum": most, "default": default})
        }
    };
    json!({
        "name": param.name,
        "in": "query",
        "required": matches!(param.form, Form::Needed(_) | Form::Name),
        "description": about(param),
        "schema": schema,
    })
}

/// What a parameter means and may be.
fn about(param: &Param) -> String {
    match param.form {
        Form::Time(_) => format!("{} Expected: {EXPECTED}.", param.about),
        _ => param.about.to_owned(),
    }
}

fn content(question: &Question) -> Value {
    let element = object(question.fields.iter());
    if let How::Documents = question.answer {
        return json!({"application/x-ndjson": {"schema": element}});
    }
    let mut answer = object(head(question));
    answer["properties"][question.path] = json!({
        "type": "array",
        "description": question.summary,
        "items": element,
    });
    if let Some(required) = answer["required"].as_array_mut() {
        required.push(json!(question.path));
    }
    let columns: Vec<&str> = question.fields.iter().map(|field| field.name).collect();
    let csv = format!("A line of names ({}), then the list.", columns.join(", "));
    json!({
        "application/json": {"schema": answer},
        "text/csv": {"schema": {"type": "string", "description": csv}},
    })
}

/// All fields beside the list.
fn head(question: &Question) -> impl Iterator<Item = &Field> {
    let is_object = matches!(question.answer, How::Rows(_));
    FOLLOWING
        .iter()
        .filter(move |(param, _)| is_object && question.has(param))
        .map(|(_, field)| field)
        .chain(question.head)
}

fn object<'f>(fields: impl Iterator<Item = &'f Field>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        let mut schema = schema(field.ty);
        schema["description"] = json!(field.about);
        properties.insert(field.name.to_owned(), schema);
        required.push(field.name);
    }
    json!({"type": "object", "properties": properties, "required": required})
}

fn schema(ty: Ty) -> Value {
    let texts = json!({"type": "string"});
    match ty {
        Ty::Text => texts,
        Ty::MaybeText => json!({"type": ["string", "null"]}),
        Ty::Texts => json!({"type": "array", "items": texts}),
        Ty::MaybeTexts => json!({"type": ["array", "null"], "items": texts}),
        Ty::Int => json!({"type": "integer"}),
        Ty::MaybeInt => json!({"type": ["integer", "null"]}),
        Ty::Number => json!({"type": "number"}),
        Ty::MaybeNumber => json!({"type": ["number", "null"]}),
        Ty::Bool => json!({"type": "boolean"}),
        Ty::Time => json!({"type": "string", "format": "date-time"}),
        Ty::MaybeTime => json!({"type": ["string", "null"], "format": "date-time"}),
    }
}

/// `docs/api.md`.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for question in questions() {
        let _ = write!(
            text,
            "\n## `GET /api/v1/{}`\n\n{}. {}\n\n| parameter | may be | |\n| --- | --- | --- |\n",
            question.path, question.summary, question.about
        );
        for param in question.params {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} |",
                param.name,
                may_be(param),
                param.about
            );
        }
        table(&mut text, "in the answer", head(question));
        let list = format!("in each element of `{}`", question.path);
        table(&mut text, &list, question.fields.iter());
    }
    text
}

fn table<'f>(text: &mut String, title: &str, fields: impl Iterator<Item = &'f Field>) {
    let mut fields = fields.peekable();
    if fields.peek().is_some() {
        let _ = write!(text, "\n| {title} | | |\n| --- | --- | --- |\n");
    }
    for field in fields {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} |",
            field.name,
            word(field.ty),
            field.about
        );
    }
}

fn word(ty: Ty) -> &'static str {
    match ty {
        Ty::Text => "text",
        Ty::MaybeText => "text or null",
        Ty::Texts => "list of texts",
        Ty::MaybeTexts => "list of texts, or null",
        Ty::Int => "whole number",
        Ty::MaybeInt => "whole number or null",
        Ty::Number => "number",
        Ty::MaybeNumber => "number or null",
        Ty::Bool => "true or false",
        Ty::Time => "time",
        Ty::MaybeTime => "time or null",
    }
}

fn may_be(param: &Param) -> String {
    match param.form {
        Form::Text => "text".into(),
        Form::Name => "text that must be given".into(),
        Form::Time(default) => format!("a time; `{default}`"),
        Form::Words(words) | Form::Needed(words) => format!("`{}`", words.join("`, `")),
        Form::OneOf(words) => format!("`{}`; `{}`", words.join("`, `"), words[0]),
        Form::Number { default: 0, .. } => "a number".into(),
        Form::Number { default, most } => format!("1 to {most}; {default}"),
    }
}

const INTRODUCTION: &str = "# Questions to the receiver

<!-- Printed from crates/receiver/src/api/ by `cargo xtask bless`. -->

    curl -H \"Authorization: Bearer $TOKEN\" 'https://af.example.org:8443/api/v1/users?from=-7d'

`TOKEN` is a viewer's: `afmetrics_receiver token create --viewer`; with `--facility NAME` it sees that facility only, in sums, too. A browser logs in
by `POST /login` with the form field `token`, which sets a cookie, and out by `POST /logout`. With `--trust-loopback` this machine needs no token, if it
asks for `localhost` or a loopback address. The same as below, for programs: `/api/v1/openapi.json`.

Answers are JSON, one object with a list; or the list as CSV, with a line of names: `?format=csv`, or the header `Accept: text/csv`. In CSV, text that a
spreadsheet would take for a formula (it begins with `=`, `+`, `-` or `@`) has a `'` in front. An answer that is none is `{\"error\": \"why\"}`:
400 names the parameter and says what was expected, 401 no good token, 403 another facility's token, 404 a facility (or kind) that nothing was heard of, 503 with
`Retry-After` what takes longer than 30 seconds. An answer has at most 200,000 rows and 10,000 steps.

A time (`from`, `to`) is RFC 3339 (`2026-11-23T04:05:06Z`; a `+` in it is written `%2B`), a date (`2026-11-23`, midnight UTC), `now`, or a time ago
(`-90m`, `-24h`, `-7d`, `-2w`), or milliseconds since 1970 (`1795406706000`, as Grafana's `${__from}`); a span has at most 11 years. Numbers over time are kept by five minutes, to which a span is widened; the answer says it. Where nothing was
heard, there is no number, and not zero.
";
