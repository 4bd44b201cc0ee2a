export default () => ({ name: "Golden" });
