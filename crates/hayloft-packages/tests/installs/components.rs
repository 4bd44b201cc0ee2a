//! Components that the host compiles, and what an administrator reads of those that it does not.

use hayloft_packages::{ComponentCompiler, InstallState};

use crate::registry::TestRegistry;
use crate::support::{Fixture, Plugin, runtime};

async fn fixture() -> Fixture {
    Fixture::with(TestRegistry::start().await, |options| {
        options.toolchain.components = Some(ComponentCompiler {
            program: runtime().join("compile-components.cjs").canonicalize().unwrap(),
            esbuild: runtime().join("esbuild").canonicalize().unwrap(),
        });
    })
    .await
}

/// A plugin with pages, whose build writes more than it makes.
fn plugin() -> Plugin {
    let build = "mkdir -p dist && echo 0 > dist/index.js && echo src/a.ts:1:1: of another step";
    Plugin::new("shown").file(
        "package.json",
        &format!(
            r#"{{ "name": "shown", "version": "1.0.0", "scripts": {{ "build": "{build}" }},
                  "hay-plugin": {{ "entry": "./dist/index.js", "displayName": "X", "category": "utility", "capabilities": ["ui"] }} }}"#
        ),
    )
}

#[tokio::test]
async fn what_the_compiler_says_is_told_and_nothing_of_other_steps() {
    let fixture = fixture().await;
    let plugin = plugin().file("components/Open.vue", "<template>\n  <p>\n</template>");
    let package = plugin.read();
    fixture.packages.install(&package).await.unwrap();
    assert_eq!(fixture.packages.state(&package), InstallState::Installed);
    let log = fixture.packages.log(&package).unwrap();
    assert!(log.contains("\nsrc/a.ts:1:1: of another step\n"), "{log}");
    let told: Vec<_> = fixture
        .packages
        .warnings(&package)
        .iter()
        .map(|problem| format!("{}: {}", problem.at, problem.message))
        .collect();
    assert_eq!(told, ["components/Open.vue:2:3: Element is missing end tag."]);
}

#[tokio::test]
async fn components_that_are_left_out_are_a_warning_and_the_others_are_compiled() {
    let fixture = fixture().await;
    let name = |number: usize| format!("components/{number:03}{}.vue", "x".repeat(230));
    let plugin =
        (0..300).fold(plugin(), |plugin, number| plugin.file(&name(number), "<template><p/></template>"));
    let package = plugin.read();
    let installed = fixture.packages.install(&package).await.unwrap();
    let module = std::fs::read_to_string(installed.root.join("dist/ui.js")).unwrap();
    let compiled = (0..300).filter(|number| module.contains(&name(*number))).count();
    assert!((200..300).contains(&compiled), "{compiled}");
    let warnings = fixture.packages.warnings(&package).to_string();
    let left = 300 - compiled;
    assert!(
        warnings.starts_with(&format!(
            "warning: components: {left} of the components, from `{}` on,",
            name(compiled)
        )),
        "{warnings}"
    );
}
