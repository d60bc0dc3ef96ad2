################################################################################
#
# sapphire-edge
#
################################################################################

SAPPHIRE_EDGE_TOP = $(abspath $(BR2_EXTERNAL_SAPPHIRE_EDGE_PATH)/..)
SAPPHIRE_EDGE_VERSION := $(shell \
	sed -n '/^\[package\]/,/^\[lib\]/s/^version = "\(.*\)"/\1/p' \
	$(SAPPHIRE_EDGE_TOP)/Cargo.toml)
SAPPHIRE_EDGE_SOURCE =
SAPPHIRE_EDGE_LICENSE = PROPRIETARY
SAPPHIRE_EDGE_REDISTRIBUTE = NO
# Not built with them, but installed after them, so that our files stay.
SAPPHIRE_EDGE_DEPENDENCIES = rauc systemd

# The program's user: its number owns the data partition, so it comes from the
# one file that makes the user in every image, whoever makes it.
SAPPHIRE_EDGE_ID := $(shell \
	sed -n 's/^u sapphire-edge \([0-9]*\) .*/\1/p' \
	$(SAPPHIRE_EDGE_TOP)/systemd/sapphire-edge.sysusers 2>/dev/null)

# Said before the toolchain is built, not an hour later. show-info is asked
# for without a program too.
ifeq ($(BR2_PACKAGE_SAPPHIRE_EDGE)$(BR_BUILDING)$(filter show-%,$(MAKECMDGOALS)),yy)
ifeq ($(SAPPHIRE_EDGE_VERSION),)
$(error sapphire-edge: no version found in $(SAPPHIRE_EDGE_TOP)/Cargo.toml)
endif
ifeq ($(SAPPHIRE_EDGE_ID),)
$(error sapphire-edge: give the user a number in systemd/sapphire-edge.sysusers)
endif
ifeq ($(SAPPHIRE_EDGE_PROGRAM),)
$(error sapphire-edge: build the program with cargo, then name it: make SAPPHIRE_EDGE_PROGRAM=/path/to/sapphire-edge)
endif
ifeq ($(SAPPHIRE_EDGE_KEYRING),)
$(error sapphire-edge: name the certificate that updates are checked against: make SAPPHIRE_EDGE_KEYRING=/path/to/keyring.pem)
endif
$(foreach v,SAPPHIRE_EDGE_PROGRAM SAPPHIRE_EDGE_KEYRING SAPPHIRE_EDGE_UPDATE_KEYS, \
	$(if $($(v)),$(if $(wildcard $($(v))),, \
		$(error sapphire-edge: $(v)=$($(v)) does not exist))))
endif

define SAPPHIRE_EDGE_USERS
	sapphire-edge $(SAPPHIRE_EDGE_ID) sapphire-edge $(SAPPHIRE_EDGE_ID) * - - - Sapphire Edge
endef

define SAPPHIRE_EDGE_INSTALL_TARGET_CMDS
	$(SAPPHIRE_EDGE_TOP)/image/install-root $(TARGET_DIR) \
		--program $(SAPPHIRE_EDGE_PROGRAM) --arch $(BR2_ARCH) \
		--keyring $(SAPPHIRE_EDGE_KEYRING) \
		--update-keys "$(SAPPHIRE_EDGE_UPDATE_KEYS)"
	cp $(TARGET_DIR)/usr/lib/os-release $(@D)/os-release
endef

# Buildroot writes its own name there when all packages are installed.
define SAPPHIRE_EDGE_KEEP_OS_RELEASE
	cp $(SAPPHIRE_EDGE_DIR)/os-release $(TARGET_DIR)/usr/lib/os-release
endef
SAPPHIRE_EDGE_ROOTFS_PRE_CMD_HOOKS += SAPPHIRE_EDGE_KEEP_OS_RELEASE

# Of GRUB's tools rauc calls one; most of the others want a shell, and there
# is none.
define SAPPHIRE_EDGE_KEEP_GRUB_EDITENV
	find $(TARGET_DIR)/usr/bin $(TARGET_DIR)/usr/sbin \
		-name 'grub-*' ! -name grub-editenv -delete
	rm -rf $(TARGET_DIR)/etc/grub.d $(TARGET_DIR)/usr/lib/grub \
		$(TARGET_DIR)/share $(TARGET_DIR)/usr/share/grub
endef
SAPPHIRE_EDGE_TARGET_FINALIZE_HOOKS += SAPPHIRE_EDGE_KEEP_GRUB_EDITENV

# No program lends its owner's rights: systemd starts what D-Bus asks for, so
# D-Bus' own helper is not needed.
define SAPPHIRE_EDGE_DROP_SETUID
	find $(TARGET_DIR) -xdev -type f -perm /6000 -exec chmod ug-s {} +
endef
SAPPHIRE_EDGE_ROOTFS_PRE_CMD_HOOKS += SAPPHIRE_EDGE_DROP_SETUID

# Nobody logs in, so nobody has a shell. The developer variant has one.
ifeq ($(BR2_SYSTEM_BIN_SH_NONE),y)
define SAPPHIRE_EDGE_DROP_SHELLS
	$(SED) 's,:[^:]*$$,:/bin/false,' $(TARGET_DIR)/etc/passwd
endef
SAPPHIRE_EDGE_ROOTFS_PRE_CMD_HOOKS += SAPPHIRE_EDGE_DROP_SHELLS
endif

$(eval $(generic-package))
