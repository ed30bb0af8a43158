//! Argo CD with `gitops/argocd`, as far as it runs Lua: 5.1, with `table` and the base functions, and of `os` only `time` and `date`, by
//! `require`.

use mlua::{Lua, LuaOptions, LuaSerdeExt as _, StdLib, Table, Value as LuaValue, serde::ser::Options};
use serde_json::Value;

const CONFIG_MAP: &str = include_str!("../../gitops/argocd/argocd-cm.yaml");

/// What it shows for an object.
pub(crate) fn health(object: &Value) -> (String, String) {
    let health = run(&entry(&format!("resource.customizations.health.snaphook.dev_{}", kind(object))), object);
    let text = |field: &str| health[field].as_str().unwrap().to_owned();
    (text("status"), text("message"))
}

/// Names of the actions that are offered for an object.
pub(crate) fn offered(object: &Value) -> Vec<String> {
    let found = run(actions(object)["discovery.lua"].as_str().unwrap(), object);
    let offered = found.as_object().unwrap().iter().filter(|(_, action)| action["disabled"] == false);
    offered.map(|(name, _)| name.clone()).collect()
}

/// The object as an action leaves it.
pub(crate) fn act(object: &Value, action: &str) -> Value {
    let actions = actions(object);
    let found = actions["definitions"].as_array().unwrap().iter().find(|found| found["name"] == action);
    run(found.unwrap()["action.lua"].as_str().unwrap(), object)
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap()
}

fn actions(object: &Value) -> Value {
    serde_yaml::from_str(&entry(&format!("resource.customizations.actions.snaphook.dev_{}", kind(object)))).unwrap()
}

fn entry(key: &str) -> String {
    let config_map: Value = serde_yaml::from_str(CONFIG_MAP).unwrap();
    config_map["data"][key].as_str().unwrap_or_else(|| panic!("no {key}")).to_owned()
}

/// What a script returns for an object.
fn run(script: &str, object: &Value) -> Value {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::PACKAGE | StdLib::OS, LuaOptions::default()).unwrap();
    let globals = lua.globals();
    let preload: Table = globals.get::<Table>("package").unwrap().get("preload").unwrap();
    let os: Table = globals.get("os").unwrap();
    let safe = lua.create_table().unwrap();
    for name in ["time", "date"] {
        safe.set(name, os.get::<LuaValue>(name).unwrap()).unwrap();
    }
    preload.set("os", lua.create_function(move |_, ()| Ok(safe.clone())).unwrap()).unwrap();
    globals.get::<Table>("package").unwrap().get::<Table>("loaded").unwrap().set("os", LuaValue::Nil).unwrap();
    for name in ["os", "string", "io", "math", "debug"] {
        globals.set(name, LuaValue::Nil).unwrap();
    }
    let options = Options::new().set_array_metatable(false).serialize_none_to_null(false);
    globals.set("obj", lua.to_value_with(object, options).unwrap()).unwrap();
    let returned: LuaValue = lua.load(script).eval().unwrap_or_else(|error| panic!("{error}\n{script}"));
    lua.from_value(returned).unwrap()
}
