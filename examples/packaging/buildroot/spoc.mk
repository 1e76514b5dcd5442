################################################################################
#
# spoc
#
################################################################################

# Untried, see README.md one folder up.
SPOC_VERSION = 0.1.0
SPOC_SITE = $(TOPDIR)/package/spoc
SPOC_SITE_METHOD = file
SPOC_LICENSE = MIT
SPOC_LICENSE_FILES = LICENSE
# Its Python is of the same version as the target's, for which the program holds bytecode.
SPOC_DEPENDENCIES = host-python3
BR_NO_CHECK_HASH_FOR += $(SPOC_SOURCE)

define SPOC_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_SECCOMP)
	$(call KCONFIG_ENABLE_OPT,CONFIG_SECCOMP_FILTER)
	$(if $(BR2_PACKAGE_SPOC_BPF),$(call KCONFIG_ENABLE_OPT,CONFIG_BPF_SYSCALL))
endef

define SPOC_INSTALL_TARGET_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) -C $(@D) install PYTHON=$(HOST_DIR)/bin/python3 \
		PREFIX=/usr DESTDIR=$(TARGET_DIR) INTERPRETER=/usr/bin/python3
endef

$(eval $(generic-package))
