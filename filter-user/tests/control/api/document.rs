//! The OpenAPI document says what the server does.

use super::*;

#[test]
fn the_document_names_every_method_of_every_path_and_no_other() {
    let lab = Lab::new(As::Root);
    let operations = operations();
    let paths: std::collections::BTreeSet<_> = operations.iter().map(|(path, _)| path).collect();
    assert_eq!(paths.len(), filter_user::api::paths().len());
    for path in filter_user::api::paths() {
        assert!(paths.contains(&path.to_owned()), "{path} is not described");
        for method in METHODS {
            let target = path.replace("{name}", "eth0").replace("{id}", "3");
            let answer = lab.ask(method, &target);
            let described = operations.contains(&(path.to_owned(), method.to_owned()));
            assert_eq!(
                answer.status != 405,
                described,
                "{method} {path}: {answer:?}"
            );
            if !described {
                assert_eq!(answer.error().error, ErrorKind::Invalid);
            }
        }
    }
}

/// Two types of one name are one in the document, and what one of them describes is wrong.
#[test]
fn the_document_tells_types_of_one_name_apart() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let schemas = &document["components"]["schemas"];
    let of = |reference: &Value| -> &Value {
        let name = reference["$ref"].as_str().unwrap();
        &schemas[name.trim_start_matches("#/components/schemas/")]
    };
    let reason = of(&schemas["ReasonStatus"]["properties"]["action"]);
    assert_eq!(
        reason["enum"],
        serde_json::json!(["pass", "drop", "answer"])
    );
    let report = of(&schemas["Report"]["properties"]["actions"]["items"]);
    assert_eq!(report["required"], serde_json::json!(["at", "what", "why"]));
}

/// Whether a schema that bodies may have is of a type all the way down, with an end: none takes whatever
/// comes, and none holds itself.
fn is_closed(schemas: &Value, schema: &Value, above: &mut Vec<String>) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.trim_start_matches("#/components/schemas/");
        if above.iter().any(|it| it == name) {
            return false;
        }
        above.push(name.to_owned());
        let is_closed = is_closed(schemas, &schemas[name], above);
        above.pop();
        return is_closed;
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[key].as_array() {
            return choices.iter().all(|it| is_closed(schemas, it, above));
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    !kinds.is_empty()
        && kinds.iter().all(|kind| match *kind {
            "array" => is_closed(schemas, &schema["items"], above),
            "object" => {
                schema["additionalProperties"] == false
                    && schema["properties"].as_object().is_some_and(|fields| {
                        fields.values().all(|it| is_closed(schemas, it, above))
                    })
            }
            "string" | "integer" | "number" | "boolean" | "null" => true,
            _ => false,
        })
}

#[test]
fn no_body_has_a_field_of_any_type() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let schemas = &document["components"]["schemas"];
    let mut bodies = 0;
    for (path, method) in operations() {
        let body = &document["paths"][&path][method.to_lowercase()]["requestBody"];
        for content in body["content"].as_object().into_iter().flatten() {
            let (kind, content) = content;
            let schema = &content["schema"];
            let is_closed = is_closed(schemas, schema, &mut Vec::new());
            assert!(is_closed, "{method} {path} {kind}: {schema}");
            bodies += 1;
        }
    }
    assert!(bodies > 10, "{bodies}");
    for open in [
        serde_json::json!({}),
        serde_json::json!({"type": "object"}),
        serde_json::json!({"type": "array", "items": {}}),
    ] {
        assert!(!is_closed(schemas, &open, &mut Vec::new()), "{open}");
    }
}

#[test]
fn the_document_describes_parameters_bodies_and_errors() {
    let lab = Lab::new(As::Reader);
    let answer = lab.ask("GET", "/v1/openapi.json");
    assert_eq!(answer.status, 200);
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    for (path, method) in operations() {
        let operation = &document["paths"][&path][method.to_lowercase()];
        let responses = operation["responses"].as_object().unwrap();
        for status in [
            "200", "400", "403", "404", "405", "408", "409", "413", "500", "503",
        ] {
            assert!(responses.contains_key(status), "{method} {path} {status}");
        }
        let error = &responses["409"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(error, "#/components/schemas/ErrorBody", "{method} {path}");
        assert!(
            !operation["summary"].as_str().unwrap().is_empty(),
            "{method} {path}"
        );
    }
    let parameters = |path: &str, method: &str| -> Vec<String> {
        let parameters = document["paths"][path][method]["parameters"]
            .as_array()
            .unwrap();
        parameters
            .iter()
            .map(|parameter| {
                let (name, place) = (&parameter["name"], &parameter["in"]);
                format!("{}:{}", name.as_str().unwrap(), place.as_str().unwrap())
            })
            .collect()
    };
    assert_eq!(
        parameters("/v1/block/import", "put"),
        [
            "list:query",
            "for:query",
            "reason:query",
            "dry_run:query",
            "force:query",
            "confirm:query"
        ]
    );
    assert_eq!(
        parameters("/v1/block", "get"),
        ["list:query", "cursor:query", "limit:query"]
    );
    assert_eq!(
        parameters("/v1/events", "get"),
        ["after:query", "limit:query", "follow:query"]
    );
    assert_eq!(parameters("/v1/limits/{name}", "put"), ["name:path"]);
    let body = |path: &str, method: &str, kind: &str| {
        document["paths"][path][method]["requestBody"]["content"][kind]["schema"].clone()
    };
    assert_eq!(
        body("/v1/mode", "put", "application/json")["$ref"],
        "#/components/schemas/SetMode"
    );
    assert_eq!(
        body("/v1/allow/import", "put", "text/plain")["type"],
        "string"
    );
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
    let errors = &document["components"]["schemas"]["ErrorKind"]["enum"];
    assert_eq!(errors.as_array().unwrap().len(), 5);
}
