"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.WhatsAppClient = void 0;
class WhatsAppClient {
    baseUrl = "https://graph.facebook.com/v18.0";
    accessToken;
    phoneNumberId;
    constructor(config) {
        this.accessToken = config.accessToken;
        this.phoneNumberId = config.phoneNumberId;
    }
    /**
     * Send text message with retry logic
     */
    async sendTextMessage(to, text) {
        const maxRetries = 3;
        const delays = [1000, 2000, 4000]; // Exponential backoff
        for (let attempt = 0; attempt < maxRetries; attempt++) {
            try {
                await this.makeRequest("POST", `/${this.phoneNumberId}/messages`, {
                    messaging_product: "whatsapp",
                    to,
                    type: "text",
                    text: { body: text },
                });
                return; // Success
            }
            catch (error) {
                if (attempt === maxRetries - 1)
                    throw error;
                await this.delay(delays[attempt]);
            }
        }
    }
    /**
     * Send image message
     */
    async sendImageMessage(to, imageUrl, caption) {
        await this.makeRequest("POST", `/${this.phoneNumberId}/messages`, {
            messaging_product: "whatsapp",
            to,
            type: "image",
            image: {
                link: imageUrl,
                caption,
            },
        });
    }
    /**
     * Make API request to WhatsApp
     */
    async makeRequest(method, path, body) {
        const response = await fetch(`${this.baseUrl}${path}`, {
            method,
            headers: {
                Authorization: `Bearer ${this.accessToken}`,
                "Content-Type": "application/json",
            },
            body: body ? JSON.stringify(body) : undefined,
        });
        if (!response.ok) {
            const error = await response.text();
            throw new Error(`WhatsApp API error: ${error}`);
        }
        return response.json();
    }
    delay(ms) {
        return new Promise((resolve) => setTimeout(resolve, ms));
    }
}
exports.WhatsAppClient = WhatsAppClient;
