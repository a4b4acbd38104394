# Tailscale on many routers. OpenTofu keeps what the container needs from each router, and runs the deploy command, which
# installs the container, updates it when the image changes, and removes what it added if something fails.
#
# The routers need RouterOS 7.21 or later, the container package, containers enabled in device-mode, the service www-ssl with
# a certificate, and SSH. This machine needs the command mikrotik-tailscale.
terraform {
  required_version = ">= 1.9.0" # the first OpenTofu with for_each for providers
  required_providers {
    routeros = {
      source  = "terraform-routeros/routeros"
      version = "1.99.1"
    }
  }
}

variable "routers" {
  description = "Routers by their names in the tailnet."
  type = map(object({
    address = string       # in the LAN, not in the tailnet
    subnets = list(string) # networks to advertise
  }))
}

variable "image" {
  description = "Published image, which the routers fetch themselves. A new tag updates them."
  type        = string
  validation {
    condition     = can(regex("/.+:[^/]+$", var.image))
    error_message = "Want registry/repository:tag, for example registry.example/me/tailscale:1.104.5-mt.1."
  }
}

variable "username" {
  description = "User on the routers, in the group full."
  type        = string
  default     = "admin"
}

variable "password" {
  description = "Password of this user."
  type        = string
  sensitive   = true
}

variable "auth_key" {
  description = "Reusable, tagged auth key."
  type        = string
  sensitive   = true
}

variable "ca_certificate" {
  description = "File with the certificate authority of the routers' HTTPS certificates."
  type        = string
}

provider "routeros" {
  alias          = "each"
  for_each       = var.routers
  hosturl        = "https://${each.value.address}"
  username       = var.username
  password       = var.password
  ca_certificate = var.ca_certificate
}

data "routeros_system_resource" "router" {
  for_each = var.routers
  provider = routeros.each[each.key]
  lifecycle {
    postcondition {
      condition     = can(regex("^7\\.(2[1-9]|[3-9][0-9])\\b", self.version))
      error_message = "${each.key} runs RouterOS ${self.version}: want 7.21 or later."
    }
    postcondition {
      condition     = contains(["arm", "arm64", "x86_64", "x86"], self.architecture_name)
      error_message = "${each.key} has the architecture ${self.architecture_name}, which has no containers."
    }
  }
}

# Certificates are checked against the clock.
resource "routeros_system_ntp_client" "clock" {
  for_each = var.routers
  provider = routeros.each[each.key]
  enabled  = true
  servers  = ["pool.ntp.org"]
}

resource "terraform_data" "tailscale" {
  for_each         = var.routers
  triggers_replace = [var.image, each.value]
  depends_on       = [data.routeros_system_resource.router, routeros_system_ntp_client.clock]

  provisioner "local-exec" {
    # Settings that have changed are applied, and the state is kept.
    command = join(" ", [
      "mikrotik-tailscale deploy \"$ROUTER\" --image \"$IMAGE\" --subnet \"$SUBNETS\" --hostname \"$NAME\"",
      "--firewall --reinstall --auth-key env://TS_AUTHKEY --password env://ROUTER_PASSWORD",
    ])
    environment = {
      ROUTER          = "${var.username}@${each.value.address}"
      IMAGE           = var.image
      SUBNETS         = join(",", each.value.subnets)
      NAME            = each.key
      TS_AUTHKEY      = var.auth_key
      ROUTER_PASSWORD = var.password
    }
  }
}
