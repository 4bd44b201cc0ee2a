import { HayPlugin, startPluginWorker } from "@hay/plugin-sdk";
import { WhatsAppClient } from "./whatsapp-client";

export class WhatsAppPlugin extends HayPlugin {
  private whatsappClient?: WhatsAppClient;

  constructor() {
    super({
      id: "whatsapp",
      name: "WhatsApp Business",
      version: "1.0.0",
      description: "Connect WhatsApp Business Cloud API for customer messaging",
      author: "Hay",
      category: "channel",
      capabilities: ["routes", "messages", "customers", "sources"],
      config: {
        accessToken: {
          type: "string",
          label: "Access Token",
          description: "WhatsApp Business API Access Token",
          required: true,
          encrypted: true,
          envVar: "WHATSAPP_ACCESS_TOKEN",
        },
        phoneNumberId: {
          type: "string",
          label: "Phone Number ID",
          description: "WhatsApp Business Phone Number ID",
          required: true,
          envVar: "WHATSAPP_PHONE_NUMBER_ID",
        },
        webhookVerifyToken: {
          type: "string",
          label: "Webhook Verify Token",
          description: "Token for webhook verification",
          required: true,
          encrypted: true,
          envVar: "WHATSAPP_WEBHOOK_VERIFY_TOKEN",
        },
        businessAccountId: {
          type: "string",
          label: "Business Account ID",
          description: "WhatsApp Business Account ID",
          required: true,
          envVar: "WHATSAPP_BUSINESS_ACCOUNT_ID",
        },
      },
    });
  }

  async onInitialize() {
    this.log("Initializing WhatsApp plugin...");

    // Initialize WhatsApp API client
    this.whatsappClient = new WhatsAppClient({
      accessToken: this.config.accessToken,
      phoneNumberId: this.config.phoneNumberId,
    });

    // Register as message source
    await this.sdk.registerSource({
      name: "WhatsApp",
      type: "whatsapp",
      capabilities: {
        sendText: true,
        sendImage: true,
        sendDocument: true,
        receiveText: true,
        receiveImage: true,
        receiveDocument: true,
      },
    });

    // Register webhook routes
    this.registerRoute("GET", "/webhook", this.handleWebhookVerification.bind(this));
    this.registerRoute("POST", "/webhook", this.handleIncomingMessage.bind(this));

    this.log("WhatsApp plugin initialized successfully");
  }

  /**
   * GET /webhook - Webhook verification
   * WhatsApp requires responding with challenge token
   */
  private async handleWebhookVerification(req: any, res: any) {
    const mode = req.query["hub.mode"];
    const token = req.query["hub.verify_token"];
    const challenge = req.query["hub.challenge"];

    if (mode === "subscribe" && token === this.config.webhookVerifyToken) {
      this.log("Webhook verified successfully");
      res.status(200).send(challenge);
    } else {
      this.logError("Webhook verification failed");
      res.sendStatus(403);
    }
  }

  /**
   * POST /webhook - Incoming messages
   * Handles messages from WhatsApp customers
   */
  private async handleIncomingMessage(req: any, res: any) {
    try {
      const body = req.body;

      // Acknowledge receipt immediately
      res.sendStatus(200);

      // Process webhook payload
      if (body.object !== "whatsapp_business_account") {
        this.log("Ignoring non-WhatsApp webhook");
        return;
      }

      for (const entry of body.entry || []) {
        for (const change of entry.changes || []) {
          if (change.field !== "messages") continue;

          const value = change.value;
          const messages = value.messages || [];

          for (const message of messages) {
            await this.processIncomingMessage(message, value);
          }
        }
      }
    } catch (error) {
      this.logError("Error handling webhook", error);
    }
  }

  /**
   * Process a single incoming WhatsApp message
   */
  private async processIncomingMessage(message: any, metadata: any) {
    try {
      const phoneNumber = message.from; // WhatsApp phone number
      const messageType = message.type; // text, image, document, etc.

      // Extract message content based on type
      let text = "";
      let mediaUrl = "";

      if (messageType === "text") {
        text = message.text.body;
      } else if (messageType === "image") {
        text = message.image.caption || "[Image]";
        mediaUrl = await this.downloadMedia(message.image.id);
      } else if (messageType === "document") {
        text = message.document.caption || "[Document]";
        mediaUrl = await this.downloadMedia(message.document.id);
      }

      // Get or create customer
      const customerProfile = metadata.contacts?.find((c: any) => c.wa_id === phoneNumber);

      // Use Plugin SDK to handle message
      const result = await this.sdk.messages.receive({
        externalId: phoneNumber,
        channel: "whatsapp",
        text,
        mediaUrl,
        metadata: {
          messageId: message.id,
          timestamp: message.timestamp,
          type: messageType,
        },
        customer: {
          name: customerProfile?.profile?.name || phoneNumber,
          metadata: {
            whatsappProfile: customerProfile?.profile,
          },
        },
      });

      this.log(`Message received from ${phoneNumber}: "${text}"`);
    } catch (error) {
      this.logError("Error processing message", error);
    }
  }

  /**
   * Download media from WhatsApp
   */
  private async downloadMedia(mediaId: string): Promise<string> {
    // Implementation to download and upload to storage
    // Returns permanent URL
    return "";
  }
}

if (require.main === module) {
  startPluginWorker(WhatsAppPlugin);
}
