"use strict";
const address = new URL("../v1/openapi.json", document.currentScript.src).pathname;
SwaggerUIBundle({ url: address, dom_id: "#docs", deepLinking: true, validatorUrl: null });
