// What the editor page takes from CodeMirror, in one bundle. The page's own code is orchestrator/server/static/editor.js.
export { EditorView, basicSetup } from "codemirror";
export { EditorState, Compartment } from "@codemirror/state";
export { keymap, hoverTooltip } from "@codemirror/view";
export { indentWithTab } from "@codemirror/commands";
export { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
export { autocompletion } from "@codemirror/autocomplete";
export { linter, lintGutter, setDiagnostics, forceLinting, nextDiagnostic } from "@codemirror/lint";
export { yaml } from "@codemirror/lang-yaml";
export { tags } from "@lezer/highlight";
