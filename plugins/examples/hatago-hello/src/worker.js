// Nothing in the plugin is Node's, so Workers run the same.
export { default } from "./index.js";
