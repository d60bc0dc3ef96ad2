//! Asks the JSON Schema of a settings struct which keys it has and which must be there.

use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::tree::Step;

/// Tables inside tables are looked into this deep; the settings have three levels.
const DEPTH: usize = 6;

/// The keys of a struct of the settings, and of the structs inside it.
#[derive(Clone, Debug)]
pub(in crate::config) struct Shape(Schema);

impl Shape {
    /// The shape of a struct.
    pub(in crate::config) fn of<T: JsonSchema>() -> Self {
        Self(schemars::schema_for!(T))
    }

    /// Names of the keys of the struct itself.
    pub(in crate::config) fn keys(&self) -> Vec<String> {
        let keys = self.0.get("properties").and_then(Value::as_object);
        keys.map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }

    /// Names of the keys that must be in the table at a path, in the order of the struct.
    pub(in crate::config) fn required(&self, path: &[Step]) -> Vec<String> {
        let required = self.at(path).and_then(|table| table.get("required")?.as_array());
        required.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// The value that a key has while it is not written; `table` is a path such as `tls`.
    #[cfg(test)]
    pub(in crate::config) fn default(&self, table: &str, key: &str) -> Option<Value> {
        let table = self.at(&super::tree::parse_path(table));
        let default = table.and_then(|table| table.get("properties")?.get(key)?.get("default"));
        default.filter(|value| !value.is_null()).cloned()
    }

    /// Whether a key has one.
    #[cfg(test)]
    pub(in crate::config) fn has_default(&self, table: &str, key: &str) -> bool {
        self.default(table, key).is_some()
    }

    /// Where a key is known: the paths of the tables that have it.
    pub(in crate::config) fn tables_with(&self, key: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.each_table(|path, keys| {
            if keys.iter().any(|known| known == key) {
                found.push(path.to_owned());
            }
        });
        found
    }

    /// Calls `visit` with the path of every table and the keys in it; lists of tables count as tables.
    pub(in crate::config) fn each_table(&self, mut visit: impl FnMut(&str, &[String])) {
        let mut open = vec![(String::new(), self.0.as_value(), 0)];
        while let Some((path, table, depth)) = open.pop() {
            let Some(properties) = table.get("properties").and_then(Value::as_object) else { continue };
            let keys: Vec<String> = properties.keys().cloned().collect();
            visit(&path, &keys);
            for (key, value) in properties {
                let inner = self.resolve(value);
                let inner = inner.get("items").map_or(inner, |items| self.resolve(items));
                if depth < DEPTH && inner.get("properties").is_some() {
                    let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    open.push((below, inner, depth + 1));
                }
            }
        }
    }

    /// The schema of the table at a path.
    fn at(&self, path: &[Step]) -> Option<&Value> {
        let mut here = self.0.as_value();
        for step in path {
            let next = match step {
                Step::Key(name) => here.get("properties")?.get(name)?,
                Step::Index(_) => here.get("items")?,
            };
            here = self.resolve(next);
        }
        Some(here)
    }

    /// Follows references, and takes the alternative that is not null.
    fn resolve<'v>(&'v self, value: &'v Value) -> &'v Value {
        let mut here = value;
        for _ in 0..DEPTH {
            let reference = here.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
            if let Some(target) = reference.and_then(|place| self.0.as_value().pointer(place)) {
                here = target;
                continue;
            }
            let choices = here.get("anyOf").and_then(Value::as_array);
            let some = choices.and_then(|all| all.iter().find(|one| one.get("type") != Some(&Value::from("null"))));
            match some {
                Some(choice) => here = choice,
                None => break,
            }
        }
        here
    }
}
