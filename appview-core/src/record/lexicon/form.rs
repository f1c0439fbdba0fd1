//! The form of lexicon documents, down to the definitions no record is made of.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::compile::{Compiler, Result, type_of};

/// Checks the form of every definition of every document.
pub(super) fn check_form(documents: &BTreeMap<String, Json>) -> Result<()> {
    let mut compiler = Compiler::checking(documents);
    for (id, document) in documents {
        compiler.place = vec![id.clone()];
        compiler.document = id;
        let document = compiler.object(document)?;
        compiler.text(document, "description")?;
        let definitions = compiler.member(document, "defs", Compiler::object)?;
        if definitions.is_empty() {
            return compiler.expected("at least one definition in defs");
        }
        for (name, definition) in definitions {
            compiler.within(name, |compiler| compiler.definition_form(name, definition))?;
        }
    }
    Ok(())
}

impl<'d> Compiler<'d> {
    fn definition_form(&mut self, name: &str, definition: &'d Json) -> Result<()> {
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) || name.is_empty() {
            return self.expected("a definition name of letters and digits");
        }
        let object = self.object(definition)?;
        let kind = self.required_text(object, "type")?;
        self.text(object, "description")?;
        if matches!(kind, "record" | "query" | "procedure" | "subscription" | "permission-set")
            && name != "main"
        {
            return self.expected("a definition of this type to be named main");
        }
        match kind {
            "record" => {
                self.key_rule(object)?;
                self.member(object, "record", Self::object_schema)?;
            }
            "query" | "procedure" => {
                self.optional(object, "parameters", Self::parameters)?;
                if kind == "procedure" {
                    self.optional(object, "input", Self::body)?;
                }
                self.optional(object, "output", Self::body)?;
                self.optional(object, "errors", Self::errors)?;
            }
            "subscription" => {
                self.optional(object, "parameters", Self::parameters)?;
                self.optional(object, "message", Self::message)?;
                self.optional(object, "errors", Self::errors)?;
            }
            "permission-set" => {
                self.text(object, "title")?;
                self.text(object, "detail")?;
                self.member(object, "permissions", |compiler, permissions| {
                    compiler.each(permissions, |compiler, permission| {
                        let permission = compiler.object(permission)?;
                        if compiler.required_text(permission, "type")? != "permission" {
                            return compiler.expected("the type permission");
                        }
                        compiler.required_text(permission, "resource").map(drop)
                    })
                })?;
            }
            "token" => {}
            "ref" | "union" | "unknown" | "params" => {
                return self.expected("a type that can be defined by name");
            }
            _ => {
                self.schema(definition)?;
            }
        }
        Ok(())
    }

    fn parameters(&mut self, json: &'d Json) -> Result<()> {
        if type_of(json) != Some("params") {
            return self.expected("the type params");
        }
        let object = self.object(json)?;
        self.members(object)?;
        let scalar =
            |json: &Json| matches!(type_of(json), Some("boolean" | "integer" | "string" | "unknown"));
        for (name, member) in object.get("properties").and_then(Json::as_object).into_iter().flatten() {
            let item =
                if type_of(member) == Some("array") { member.get("items").unwrap_or(member) } else { member };
            if !scalar(item) {
                return self.within(name, |compiler| {
                    compiler.expected("a boolean, integer or string, or a list of them")
                });
            }
        }
        Ok(())
    }

    fn body(&mut self, json: &'d Json) -> Result<()> {
        let object = self.object(json)?;
        self.required_text(object, "encoding")?;
        self.optional(object, "schema", |compiler, schema| {
            if !matches!(type_of(schema), Some("object" | "ref" | "union")) {
                return compiler.expected("the type object, ref or union");
            }
            compiler.schema(schema).map(drop)
        })
    }

    fn message(&mut self, json: &'d Json) -> Result<()> {
        let object = self.object(json)?;
        self.member(object, "schema", |compiler, schema| {
            if type_of(schema) != Some("union") {
                return compiler.expected("the type union");
            }
            compiler.schema(schema).map(drop)
        })
    }

    fn errors(&mut self, json: &'d Json) -> Result<()> {
        self.each(json, |compiler, error| {
            let error = compiler.object(error)?;
            compiler.required_text(error, "name").map(drop)
        })
    }
}
